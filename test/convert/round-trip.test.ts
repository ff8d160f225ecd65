import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { CreateOptions } from '../../src/qcow2/create-options.js';
import { expectGoodImage } from '../e2e/judge.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, textBytes } from '../e2e/source-images.js';
import { tries } from '../stage.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const TEXT = textBytes(1_500_000);
const NOISE = randomBytes(1_500_000, 7);

/** A stretch of the disk: what it holds and how long it is, in bytes. */
interface Stretch {
  readonly kind: 'zeros' | 'text' | 'noise' | 'pattern';
  readonly length: number;
}

const stretches: fc.Arbitrary<Stretch[]> = fc.array(
  fc.record({
    kind: fc.constantFrom('zeros' as const, 'text' as const, 'noise' as const, 'pattern' as const),
    length: fc.oneof(
      fc.integer({ min: 1, max: 5000 }),
      fc.constantFrom(512, 4096, 65_536, 131_072),
      fc.integer({ min: 1, max: 700_000 }),
    ),
  }),
  { maxLength: 8 },
);

/** The bytes of a disk; equal stretches at different places hold different bytes. */
function diskOf(list: readonly Stretch[]): Buffer {
  let at = 0;
  const parts = list.map(({ kind, length }) => {
    const from = at % 500_000;
    at += length;
    if (kind === 'zeros') return Buffer.alloc(length);
    if (kind === 'pattern') return Buffer.alloc(length, 1 + (length % 255));
    return (kind === 'text' ? TEXT : NOISE).subarray(from, from + length);
  });
  const disk = Buffer.concat(parts);
  return Buffer.concat([disk, Buffer.alloc((512 - (disk.length % 512)) % 512)]);
}

/** Any image that can be made: what excludes each other is left out. */
const geometries: fc.Arbitrary<{ create: CreateOptions; compress: boolean; sparseSize: number }> = fc
  .record({
    clusterBits: fc.integer({ min: 9, max: 21 }),
    compat: fc.constantFrom(2 as const, 3 as const),
    compressionType: fc.constantFrom('zlib' as const, 'zstd' as const),
    refcountOrder: fc.integer({ min: 0, max: 6 }),
    extendedL2: fc.boolean(),
    preallocation: fc.constantFrom('off' as const, 'metadata' as const),
    compress: fc.boolean(),
    sparseSize: fc.constantFrom(0, 4096, 65_536),
  })
  .map(({ clusterBits, refcountOrder, compress, sparseSize, preallocation, extendedL2, ...rest }) => {
    const version3 = rest.compat === 3;
    return {
      create: {
        clusterSize: 2 ** clusterBits,
        compat: rest.compat,
        compressionType: version3 ? rest.compressionType : 'zlib',
        refcountBits: version3 ? 2 ** refcountOrder : 16,
        extendedL2: version3 && clusterBits >= 14 && extendedL2,
        preallocation: compress ? 'off' : preallocation,
      },
      compress,
      sparseSize,
    };
  });

test('any disk in any geometry is read back byte for byte, by qcow2c and by qemu-img', async () => {
  const [raw, first, second, back] = ['disk.raw', 'first.qcow2', 'second.qcow2', 'back.raw'].map((name) =>
    path(name),
  ) as [string, string, string, string];
  await fc.assert(
    fc.asyncProperty(stretches, geometries, geometries, async (list, one, other) => {
      const disk = diskOf(list);
      await writeFile(raw, disk);
      await convertHere({ sources: [raw], sourceFormat: 'raw', target: first, threads: 2, ...one });
      await expectGoodImage(first, raw);
      // From one geometry into another: payloads are copied where these agree, and inflated elsewhere.
      await convertHere({ sources: [first], sourceFormat: 'qcow2', target: second, threads: 2, ...other });
      await expectGoodImage(second, raw);
      await convertHere({ sources: [second], sourceFormat: 'qcow2', target: back, targetFormat: 'raw' });
      expect((await readFile(back)).equals(disk)).toBe(true);
    }),
    { numRuns: tries(25) },
  );
});

test('any overlay over any other disk reads as its source', async () => {
  const [raw, base, overlay, back] = ['disk.raw', 'base.raw', 'overlay.qcow2', 'back.raw'].map((name) =>
    path(name),
  ) as [string, string, string, string];
  const edits = fc.array(fc.tuple(fc.nat(2_000_000), fc.nat(200_000), fc.nat(255)), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(stretches, edits, fc.nat(3000), geometries, async (list, changes, sectors, one) => {
      const disk = diskOf(list);
      const below = Buffer.alloc(sectors * 512);
      disk.copy(below);
      for (const [at, length, byte] of changes) below.subarray(at, at + length).fill(byte);
      await writeFile(raw, disk);
      await writeFile(base, below);
      const create = {
        ...one.create,
        preallocation: 'off',
        backingFile: base,
        backingFormat: 'raw',
      } as const;
      await convertHere({ ...one, sources: [raw], sourceFormat: 'raw', target: overlay, create, threads: 2 });
      await expectGoodImage(overlay, raw);
      await convertHere({ sources: [overlay], sourceFormat: 'qcow2', target: back, targetFormat: 'raw' });
      expect((await readFile(back)).equals(disk)).toBe(true);
    }),
    { numRuns: tries(20) },
  );
});
