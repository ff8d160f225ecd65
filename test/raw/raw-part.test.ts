import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Source } from '../../src/image/source.js';
import { RawPart } from '../../src/raw/raw-part.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { MemoryHostFile } from '../image/memory-host-file.js';
import { run, runOk } from '../oracle/run.js';
import { tries } from '../stage.js';

const path = useScratch();

/** The disk as the guest sees it, read through the map. */
async function contentOf(source: Source, file: MemoryHostFile): Promise<Buffer> {
  const disk = Buffer.alloc(source.size);
  for (let at = 0; at < source.size; ) {
    const range = await source.map(at);
    if (range.length < 1 || at + range.length > source.size) throw new Error(`${range.length} at ${at}`);
    if (range.kind === 'data') file.bytes.copy(disk, at, range.offset, range.offset + range.length);
    at += range.length;
  }
  return disk;
}

test('a part contains exactly its bytes of the file, for any offset and any holes', async () => {
  const places = fc.record({
    sectors: fc.integer({ min: 0, max: 8 }),
    offset: fc.integer({ min: 0, max: 5000 }),
    size: fc.option(fc.integer({ min: 0, max: 9 })),
    hole: fc.tuple(fc.integer({ min: 0, max: 9 }), fc.integer({ min: 1, max: 4 })),
  });
  await fc.assert(
    fc.asyncProperty(places, async ({ sectors, offset, size, hole: [from, count] }) => {
      const bytes = randomBytes(sectors * 512);
      const hole = [from * 512, (from + count) * 512] as const;
      bytes.subarray(...hole).fill(0);
      const file = new MemoryHostFile('x.raw', bytes, 5, [hole]);
      const length = size === null ? undefined : size * 512;
      const end = offset + (length ?? 0);
      if (end > bytes.length) {
        expect(() => RawPart.of(file, offset, length)).toThrow(
          expect.objectContaining({ code: 'ERR_USAGE', file: 'x.raw', expected: bytes.length, found: end }),
        );
        return;
      }
      const part = RawPart.of(file, offset, length);
      expect(part.size).toBe(length ?? Math.ceil((bytes.length - offset) / 512) * 512);
      const expected = Buffer.alloc(part.size);
      bytes.copy(expected, 0, offset, offset + part.size);
      expect((await contentOf(part, file)).equals(expected)).toBe(true);
    }),
    { numRuns: tries(300) },
  );
});

test('a part that is the whole file is the file itself', () => {
  const file = new MemoryHostFile('x.raw', Buffer.alloc(1024));
  expect(RawPart.of(file, 0, undefined)).toBe(file);
});

test('a size that is not a multiple of a sector is refused', () => {
  const file = new MemoryHostFile('x.raw', Buffer.alloc(1024));
  expect(() => RawPart.of(file, 0, 1000)).toThrow(
    expect.objectContaining({ code: 'ERR_USAGE', message: 'Specified size is not multiple of 512: 1000' }),
  );
});

test('a part has the name of its file, reports its changes and closes it', async () => {
  const file = new MemoryHostFile('x.raw', Buffer.alloc(1024), 9);
  const part = RawPart.of(file, 512, undefined);
  expect([part.name, part.fileOf(9), part.fileOf(8)]).toEqual(['x.raw', 'x.raw', undefined]);
  await part.refuseChanges();
  await part.close();
  expect([file.refused, file.closed]).toEqual([1, 1]);
});

describe('qemu-img', () => {
  const [disk, copy] = [path('disk.raw'), path('copy.raw')];
  test.each([
    [3000, 100, undefined],
    [3000, 512, 1024],
    [1000, 1000, undefined],
    [1000, 1024, undefined],
    [1000, 1025, undefined],
    [1000, 100, 1024],
    [1000, 100, 512],
  ])('reads the same part of a file of %i bytes, offset %i, size %s', async (length, offset, size) => {
    const bytes = randomBytes(length);
    await writeFile(disk, bytes);
    const size_ = size === undefined ? '' : `,size=${size}`;
    const options = `driver=raw,offset=${offset}${size_},file.filename=${disk}`;
    const theirs = await run('qemu-img', ['convert', '--image-opts', options, '-O', 'raw', copy]);
    // A disk of 0 bytes cannot be converted, but the file can be examined.
    const file = new MemoryHostFile('x.raw', bytes);
    if (theirs.status !== 0) {
      expect(() => RawPart.of(file, offset, size)).toThrow(expect.objectContaining({ code: 'ERR_USAGE' }));
      return;
    }
    const part = RawPart.of(file, offset, size);
    expect((await contentOf(part, file)).equals(await readFile(copy))).toBe(true);
    await runOk('rm', [copy]);
  });
});
