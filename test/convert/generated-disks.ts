/** Disks and image geometries that any conversion must be able to take, made by fast-check. */
import fc from 'fast-check';
import type { CreateOptions } from '../../src/qcow2/create-options.js';
import { randomBytes, textBytes } from '../e2e/source-images.js';

const TEXT = textBytes(1_500_000);
const NOISE = randomBytes(1_500_000, 7);

/** A stretch of the disk: what it holds and how long it is, in bytes. */
interface Stretch {
  readonly kind: 'zeros' | 'text' | 'noise' | 'pattern';
  readonly length: number;
}

export const stretches: fc.Arbitrary<Stretch[]> = fc.array(
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
export function diskOf(list: readonly Stretch[]): Buffer {
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
export const geometries: fc.Arbitrary<{ create: CreateOptions; compress: boolean; sparseSize: number }> = fc
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
