import * as fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { openStream, streamInput } from '../../src/convert/stream-input.js';
import type { StreamSource } from '../../src/raw/stream-source.js';
import type { PlannedItem } from '../../src/workers/plan.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { FakeSource } from '../image/fake-source.js';
import { runOk } from '../oracle/run.js';
import { ITEM, SETTINGS } from './input-settings.js';

const path = useScratch();
const openFiles = () => fs.readdirSync('/proc/self/fd').length;
const [small, odd] = [path('small.raw'), path('odd.raw')];
await writeFile(small, Buffer.alloc(1024, 1));
await writeFile(odd, Buffer.alloc(513, 2));

/** A stream of these bytes: fills what it is given, less only at its end, as StreamSource does. */
function streamOf(bytes: Buffer) {
  let at = 0;
  const asked: number[] = [];
  const stream = {
    name: 'standard input',
    peek: async (length: number) => bytes.subarray(0, length),
    fill: async (memory: Uint8Array) => {
      asked.push(memory.length);
      const part = bytes.subarray(at, at + memory.length);
      memory.set(part);
      at += part.length;
      return part.length;
    },
  };
  return { stream: stream as unknown as StreamSource, asked };
}

/** Slots that are longer than an item and hold what an earlier item left there. */
function fakePool() {
  const slots = Array.from({ length: 3 }, () => Buffer.alloc(2 * ITEM, 0xee));
  return { slots, pool: { arrivalSlot: (slot: number) => slots[slot]! } };
}

/** Runs a stream to its end. @returns its items, and what they show of the disk */
async function itemsOf(
  bytes: Buffer,
  expected: number | undefined,
  { settings = SETTINGS, trusted = false, least = 0 } = {},
): Promise<{ items: PlannedItem[]; disk: Buffer; asked: readonly number[] }> {
  const { stream, asked } = streamOf(bytes);
  const { slots, pool } = fakePool();
  const next = (await streamInput(stream, { expected, least, trusted })).items(settings, pool);
  const items: PlannedItem[] = [];
  const parts: Buffer[] = [];
  for (let slot = 0; ; slot = (slot + 1) % slots.length) {
    const item = await next(slot);
    if (item === undefined) break;
    items.push(item);
    const [arrived, ...others] = item.segments;
    expect([arrived?.kind, arrived?.at, others]).toEqual(['arrived', 0, []]);
    const part = Buffer.alloc(item.length);
    slots[slot]!.copy(part, 0, 0, arrived!.length);
    parts.push(part);
  }
  expect(await next(0)).toBeUndefined();
  return { items, disk: Buffer.concat(parts), asked };
}

describe('a stream', () => {
  test('is divided into full items up to its last byte, rounded up to a sector', async () => {
    const lengths = fc.oneof(
      fc.integer({ min: 1, max: 5 * ITEM }),
      fc.constantFrom(1, 511, 512, 513, ITEM - 1, ITEM, ITEM + 1, 3 * ITEM, 3 * ITEM + 512),
    );
    await fc.assert(
      fc.asyncProperty(lengths, fc.boolean(), async (length, isStated) => {
        const bytes = randomBytes(length);
        const { items, disk, asked } = await itemsOf(bytes, isStated ? length : undefined, { trusted: true });
        const size = Math.ceil(length / 512) * 512;
        expect(disk.equals(Buffer.concat([bytes, Buffer.alloc(size - length)]))).toBe(true);
        expect(items.map(({ guestOffset }) => guestOffset)).toEqual(items.map((_, index) => index * ITEM));
        expect(items.slice(0, -1).every((item) => item.length === ITEM)).toBe(true);
        // Never more than an item at once; asked once more only where it ends with an item.
        expect(asked).toEqual(Array.from({ length: Math.floor(length / ITEM) + 1 }, () => ITEM));
      }),
      { numRuns: 100 },
    );
  });

  test.each([
    [undefined, undefined],
    [0, 0],
    [512, 512],
    [1000, 1024],
  ])('of a stated size of %s has a disk of %s bytes', async (stated, size) => {
    const { stream } = streamOf(Buffer.alloc(stated ?? 1));
    const input = await streamInput(stream, { expected: stated, trusted: false });
    expect(input.size).toBe(size);
    expect([input.arrives, input.readAlignment, input.compressionTypes.size]).toEqual([true, 1, 0]);
    expect(input.fileOf(0)).toBeUndefined();
  });

  test.each([
    [1000, 1001, /ended after 1000 bytes: 1001 were expected, as stated by the size$/],
    [ITEM, 2 * ITEM, /ended after 4096 bytes: 8192 were expected/],
    [0, 1, /ended after 0 bytes: 1 were expected/],
    [1001, 1000, /has more bytes: 1000 were expected, as stated by the size$/],
    [1, 0, /has more bytes: 0 were expected/],
    [ITEM + 1, ITEM, /has more bytes: 4096 were expected/],
  ])('of %i bytes is refused if the stated size is %i', async (length, expected, words) => {
    await expect(itemsOf(Buffer.alloc(length, 1), expected)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        file: 'standard input',
        expected,
        message: expect.stringMatching(words),
      }),
    );
  });

  test('of 0 bytes is refused before the first item, unless that is its stated size', async () => {
    for (const trusted of [false, true]) {
      const { stream, asked } = streamOf(Buffer.alloc(0));
      await expect(streamInput(stream, { expected: undefined, trusted })).rejects.toThrow(
        expect.objectContaining({
          code: 'ERR_USAGE',
          file: 'standard input',
          found: 0,
          message:
            "'standard input' is empty, and no disk has 0 bytes: the program that should write to it has probably " +
            'failed (for an empty disk use -o size=0)',
        }),
      );
      expect(asked).toEqual([]);
    }
    expect((await itemsOf(Buffer.alloc(0), 0)).items).toEqual([]);
  });

  test.each([
    [1, 2],
    [511, 512],
    [512, 513],
    [ITEM, ITEM + 1],
    [3 * ITEM + 1, 3 * ITEM + 2],
  ])('of %i bytes is refused if the minimum is %i', async (length, least) => {
    await expect(itemsOf(Buffer.alloc(length, 1), undefined, { least })).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        file: 'standard input',
        expected: least,
        found: length,
        message: `'standard input' ended after ${length} bytes: at least ${least} were expected (--min-size)`,
      }),
    );
    const { disk } = await itemsOf(Buffer.alloc(length, 1), undefined, { least: length });
    expect(disk.length).toBe(Math.ceil(length / 512) * 512);
  });

  test("may fill the target's size and no more", async () => {
    const settings = { ...SETTINGS, room: { bytes: 2 * ITEM, target: '/dev/vdb' } };
    expect((await itemsOf(Buffer.alloc(2 * ITEM, 1), undefined, { settings })).items.length).toBe(2);
    await expect(itemsOf(Buffer.alloc(2 * ITEM + 1, 1), undefined, { settings })).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_USAGE',
        expected: 2 * ITEM,
        message: "'/dev/vdb' is too small: it has 8192 bytes, and 'standard input' has 8193 or more",
      }),
    );
  });

  test.each([
    ['qcow2', 'QFI\xfb\0\0\0\x03', /looks like a qcow2 image, which cannot be read from a stream; .* -f raw/],
    ['vmdk', 'KDMV', /looks like a vmdk image \(VMware\), which qcow2c does not read; .* -f raw/],
  ])('that begins like a %s image is refused, unless it is stated as raw', async (_, mark, words) => {
    for (const length of [8, 512, 3 * ITEM]) {
      const bytes = Buffer.alloc(length, 1);
      bytes.write(mark, 'latin1');
      await expect(itemsOf(bytes, undefined)).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_UNSUPPORTED', message: expect.stringMatching(words) }),
      );
      expect(
        (await itemsOf(bytes, undefined, { trusted: true })).disk.subarray(0, length).equals(bytes),
      ).toBe(true);
    }
    // Further on it is data like any other.
    const bytes = Buffer.alloc(2 * ITEM, 1);
    bytes.write(mark, ITEM, 'latin1');
    expect((await itemsOf(bytes, undefined)).items.length).toBe(2);
  });

  test('over a backing file is compared with its data at the same offset', async () => {
    const backing = new FakeSource('base', [
      { kind: 'zero', length: 512 },
      { kind: 'data', length: ITEM },
    ]);
    const { items } = await itemsOf(Buffer.alloc(ITEM + 600, 1), undefined, {
      settings: { ...SETTINGS, backing },
    });
    const data = { kind: 'data', descriptor: 77 };
    expect(items.map(({ changed, backing: below }) => [changed, below])).toEqual([
      [[[0, 8]], [{ ...data, at: 512, length: ITEM - 512, offset: 1512 }]],
      [[[0, 2]], [{ ...data, at: 0, length: 512, offset: ITEM + 1000 }]],
    ]);
  });

  test('reports a failed read, and is never a changed source', async () => {
    const { stream } = streamOf(Buffer.alloc(1));
    stream.fill = () => Promise.reject(new Error('EIO'));
    const input = await streamInput(stream, { expected: undefined, trusted: false });
    await expect(input.items(SETTINGS, fakePool().pool)(0)).rejects.toThrow('EIO');
    await input.refuseChanges();
  });
});

describe('opening a stream', () => {
  test('returns undefined for images', async () => {
    expect(await openStream({ sources: [small, { file: odd }] })).toBeUndefined();
  });

  test('accepts the name of a pipe, and opens it without waiting for its writer', async () => {
    const fifo = path('fifo');
    await runOk('mkfifo', [fifo]);
    // The first child process of Node.js leaves a descriptor open.
    const before = openFiles();
    for (const source of [fifo, { file: fifo, format: 'raw' }] as const) {
      const opened = await openStream({ sources: [source] });
      expect(opened?.name).toBe(fifo);
      const fill = opened!.fill(new Uint8Array(1));
      fill.catch(() => {});
      await opened?.close();
      await expect(fill).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    }
    // Its writer must not be let go for a conversion that cannot be.
    await expect(openStream({ sources: [small, fifo] })).rejects.toThrow(
      /'.*fifo' is a stream, which must be the only/,
    );
    expect(openFiles()).toBe(before);
  });

  test('uses the descriptor of a /dev/fd name, and closes it', async () => {
    const before = openFiles();
    const descriptor = fs.openSync(small, 'r');
    const opened = await openStream({
      sources: [{ stream: descriptor, name: 'a pipe' }],
      sourceFormat: 'raw',
    });
    expect(opened?.name).toBe('a pipe');
    await opened?.close();
    expect(openFiles()).toBe(before);
  });
});
