/**
 * More corrupted images: numbers out of range, and noise in the tables. The exit
 * code is not stated: the results are compared with qemu-img's.
 */
import { writeFile } from 'node:fs/promises';
import { baseImage } from './corrupt-bases.js';
import { COMPRESSED, COPIED, HEADER, ImageBytes } from './corrupt-image-bytes.js';

interface FarCorruption {
  readonly name: string;
  readonly make: (path: string) => Promise<void>;
}

type Base = Parameters<typeof baseImage>[0];

function far(name: string, base: Base, change: (image: ImageBytes) => void): FarCorruption {
  const make = async (path: string) => {
    const image = new ImageBytes(await baseImage(base));
    change(image);
    await writeFile(path, image.bytes);
  };
  return { name, make };
}

/** Numbers of 32 bits, the same for the same seed. */
function numbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state ^ (state >>> 15)) >>> 0;
  };
}

/** Changes some words of the tables: to noise, to an offset in the image, or by one bit. */
function makeNoise(image: ImageBytes, seed: number): void {
  const next = numbers(seed);
  const tables = [
    [image.offsetIn(HEADER.l1Offset), image.u32(HEADER.l1Size) * 8],
    [image.l2TableOffset(0), 16 * image.l2EntryBytes],
    [image.l2TableOffset(0), image.clusterSize],
    [image.refcountBlockOffset(0), Math.min(64, image.clusterSize)],
    [image.offsetIn(HEADER.refcountTableOffset), 32],
  ] as const;
  const { clusterSize, clusters } = image;
  for (let count = 1 + (next() % 6); count > 0; count -= 1) {
    const [offset, length] = tables[next() % tables.length] as readonly [number, number];
    const at = offset + (next() % (length / 8)) * 8;
    const flags = (next() % 2 === 0 ? COPIED : 0n) | (next() % 4 === 0 ? COMPRESSED : 0n);
    const place = BigInt((next() % (clusters + 2)) * clusterSize);
    const values = [
      flags | place,
      flags | (place + BigInt(next() % 2 ** 20)),
      image.u64(at) ^ (1n << BigInt(next() % 64)),
      (BigInt(next()) << 32n) | BigInt(next()),
    ];
    image.setU64(at, values[next() % values.length] as bigint);
  }
}

const BASES: readonly Base[] = [
  {},
  { clusterSize: 512 },
  { clusterSize: 4096, refcountBits: 1 },
  { clusterSize: 16384, refcountBits: 2, extendedL2: true },
  { clusterSize: 4096, refcountBits: 64, with: 'snapshots' },
  { refcountBits: 32, with: 'bitmaps' },
  { clusterSize: 512, version: 2 },
];

export const FAR_CORRUPTIONS: readonly FarCorruption[] = [
  far('refcount block at 2^63', {}, (image) => image.setU64(image.refcountTableEntryAt(0), 2n ** 63n)),
  far('refcount block at the last offset that QEMU reads', {}, (image) =>
    image.setU64(image.refcountTableEntryAt(0), 2n ** 63n - 2n ** 30n - 65536n),
  ),
  far('refcount block just past it', {}, (image) =>
    image.setU64(image.refcountTableEntryAt(0), 2n ** 63n - 2n ** 30n),
  ),
  far('refcount block unaligned that only an entry past the end needs', {}, (image) => {
    image.setU64(image.refcountTableEntryAt(1), 66048n);
    image.setU64(image.l2EntryAt(0), COPIED | (32768n * 65536n));
  }),
  far('compressed cluster at an odd offset of 61 bits', { clusterSize: 512 }, (image) =>
    image.setU64(image.l2EntryAt(2), COMPRESSED | (2n ** 61n - 1n)),
  ),
  far('data cluster at the highest offset', {}, (image) =>
    image.setU64(image.l2EntryAt(0), COPIED | 0x00ff_ffff_ffff_0000n),
  ),
  far('L1 entry with nothing but the copied flag', {}, (image) => image.setU64(image.l1EntryAt(2), COPIED)),
  far("a snapshot's L1 table at 2^57", { with: 'snapshots' }, (image) =>
    image.setU64(image.snapshotAt(0), 2n ** 57n),
  ),
  far("a snapshot's L1 table at 2^63", { with: 'snapshots' }, (image) =>
    image.setU64(image.snapshotAt(0), 2n ** 63n),
  ),
  far('refcounts of 32 bits at their highest', { refcountBits: 32 }, (image) =>
    image.setRefcount(image.hostClusterOf(0), 2 ** 32 - 1),
  ),
  far('refcounts of 64 bits past 2^32', { refcountBits: 64 }, (image) =>
    image.setRefcount(image.hostClusterOf(0), 2 ** 32 + 1),
  ),
  ...BASES.flatMap((base, kind) =>
    Array.from({ length: 6 }, (_, index) =>
      far(`noise ${index} in ${JSON.stringify(base)}`, base, (image) => makeNoise(image, kind * 100 + index)),
    ),
  ),
];
