import { writeFile } from 'node:fs/promises';
import { deflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { roundUp } from '../../src/arithmetic.js';
import { guestCluster } from '../../src/qcow2/addresses.js';
import { resolveCreateOptions } from '../../src/qcow2/create-options.js';
import { allocationUnit } from '../../src/qcow2/image-body.js';
import { ImageWriter } from '../../src/qcow2/image-writer.js';
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { expectGoodImage } from '../e2e/judge.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, randomBytes } from '../e2e/source-images.js';
import { shortened, tries } from '../stage.js';
import { turn } from '../storage/promise-state.js';
import { RecordingStorage } from '../storage/recording-storage.js';
import { decodeImage } from './image-decoder.js';

const scratch = useScratch();
const WIDTHS = [1, 2, 4, 8, 16, 32, 64];
const NOISE = randomBytes(3 * 1024 * 1024);

/** A guest cluster with this index, and the part of it that does not compress. */
interface Cluster {
  readonly index: number;
  /** 0 to 1. */
  readonly noise: number;
}

interface Case {
  readonly clusterBits: number;
  readonly refcountBits: number;
  readonly compat: 2 | 3;
  /** In units; 0 is the bypass. */
  readonly cacheUnits: number;
  readonly alignment: 1 | 512 | 4096;
  /** Units at the start with other content, besides the header's. */
  readonly keptUnits: number;
  readonly clusters: readonly Cluster[];
  /** Guest clusters of the disk after the last one written. */
  readonly behind: number;
}

function bytesOf({ index, noise }: Cluster, clusterSize: number): Buffer {
  const bytes = Buffer.alloc(clusterSize, 1 + (index % 255));
  const length = Math.round(noise * clusterSize);
  const from = (index * 7919) % (NOISE.length - length);
  NOISE.copy(bytes, 0, from, from + length);
  return bytes;
}

const sizeOf = (given: Case) =>
  ((given.clusters.at(-1)?.index ?? -1) + 1 + given.behind) * 2 ** given.clusterBits;

function storageOf({ alignment, cacheUnits }: Case, background: number): RecordingStorage {
  const storage = new RecordingStorage({ alignment, background });
  // Without the cache, an unaligned write reads the bytes around it.
  storage.readsExpected = cacheUnits === 0;
  return storage;
}

/** Writes the case's image to memory. @param background the previous bytes of the target */
async function write(
  given: Case,
  background = 0xee,
  storage = storageOf(given, background),
  inPlace = false,
) {
  const virtualSize = sizeOf(given);
  const parameters = resolveCreateOptions(
    { clusterSize: 2 ** given.clusterBits, refcountBits: given.refcountBits, compat: given.compat },
    virtualSize,
  );
  const unit = allocationUnit(parameters.geometry.clusterSize);
  const firstFree = unit * (1 + given.keptUnits);
  const guard = new OverlapGuard(storage, firstFree);
  const cache = CompressedWriteCache.create(guard, unit, given.cacheUnits * unit);
  const writer = new ImageWriter(parameters, virtualSize, { guard, cache, firstFree });
  const expected = new Map<number, { kind: string; bytes: Buffer }>();
  let compressedBytes = 0;
  for (const cluster of given.clusters) {
    const bytes = bytesOf(cluster, parameters.geometry.clusterSize);
    const payload = deflateRawSync(bytes, { level: 1 });
    const isCompressed = payload.length < bytes.length;
    expected.set(cluster.index, { kind: isCompressed ? 'compressed' : 'normal', bytes });
    const handed = Buffer.from(isCompressed ? payload : bytes);
    const first = guestCluster(cluster.index);
    if (isCompressed) await writer.clusters.writeCompressed(first, Uint32Array.of(handed.length), handed);
    else await writer.clusters.writeNormal(first, handed);
    // The caller may reuse the buffer at once.
    handed.fill(0x99);
    if (isCompressed) compressedBytes += payload.length;
  }
  const length = await writer.finish({ inPlace });
  cache.free();
  return { storage, writer, length, expected, compressedBytes, virtualSize, unit };
}

async function judge(given: Case) {
  const { storage, writer, length, expected, compressedBytes, virtualSize } = await write(given);
  expect(storage.violations).toEqual([]);
  const file = Buffer.from(storage.bytes(0, length));
  const image = decodeImage(file);
  expect(image.virtualSize).toBe(virtualSize);
  expect([...image.clusters.keys()].sort((a, b) => a - b)).toEqual([...expected.keys()]);
  for (const [index, { kind, bytes }] of expected) {
    const found = image.clusters.get(index);
    if (found?.kind !== kind || !found.bytes.equals(bytes)) {
      throw new Error(`guest cluster ${index}, ${kind}, is read as ${found?.kind} of other bytes`);
    }
  }
  expect(new Map([...image.refcounts].sort(([a], [b]) => a - b))).toEqual(
    new Map([...image.references].sort(([a], [b]) => a - b)),
  );
  expect(length % 512).toBe(0);
  // Tables lie before the guest data that they lead to.
  expect(image.tables.filter(({ end, firstData }) => end > firstData)).toEqual([]);
  // The last host cluster is in use, and none is used past the file's end.
  expect(Math.max(...image.references.keys())).toBe(Math.ceil(length / image.clusterSize) - 1);
  const kinds = [...expected.values()].map(({ kind }) => kind);
  expect(writer.clusters.counts).toEqual({
    compressedClusters: kinds.filter((kind) => kind === 'compressed').length,
    normalClusters: kinds.filter((kind) => kind === 'normal').length,
    zeroClusters: 0,
    compressedBytes,
  });
  return { file, storage };
}

const noises = fc.oneof(
  fc.constantFrom(0, 1),
  fc.double({ min: 0, max: 1, noNaN: true }),
  fc.double({ min: 0.9, max: 1, noNaN: true }),
);

/** `total` bytes of guest data at most, in ascending clusters with steps of all sizes between them. */
function casesOf(clusterBits: fc.Arbitrary<number>, total: number): fc.Arbitrary<Case> {
  return clusterBits.chain((bits) => {
    const most = Math.min(300, Math.max(4, Math.floor(total / 2 ** bits)));
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.constant(1) },
      { weight: 1, arbitrary: fc.integer({ min: 2, max: 9 }) },
      { weight: 1, arbitrary: fc.integer({ min: 50, max: 2000 }) },
    );
    const clusters = fc
      .array(fc.record({ step, noise: noises }), { maxLength: most, size: 'max' })
      .map((list) => {
        let index = -1;
        return list.map(({ step: by, noise }) => {
          index += by;
          return { index, noise };
        });
      });
    const width = fc.oneof(
      fc.record({ compat: fc.constant(3 as const), refcountBits: fc.constantFrom(...WIDTHS) }),
      fc.record({ compat: fc.constant(2 as const), refcountBits: fc.constant(16) }),
    );
    return fc
      .record({
        clusterBits: fc.constant(bits),
        cacheUnits: fc.constantFrom(0, 1, 2, 3, 1000),
        alignment: fc.constantFrom(1 as const, 512 as const, 4096 as const),
        keptUnits: fc.constantFrom(0, 0, 0, 1, 40),
        clusters,
        behind: fc.constantFrom(0, 0, 1, 5000),
        width,
      })
      .map(({ width, ...rest }) => ({ ...rest, ...width }));
  });
}

const plain = {
  refcountBits: 16,
  compat: 3,
  cacheUnits: 4,
  alignment: 4096,
  keptUnits: 0,
  behind: 0,
} as const;

describe('an image in memory', () => {
  test('holds the clusters written and counts every host cluster, for any cluster size, width and cache', async () => {
    await fc.assert(
      fc.asyncProperty(casesOf(fc.integer({ min: 9, max: 16 }), 512 * 1024), async (given) => {
        await judge(given);
      }),
      { numRuns: tries(80) },
    );
  });

  // Enough for several blocks, and for two of 4096 refcounts.
  test.each(
    shortened(
      [
        [64, 1500],
        [1, 5600],
      ] as const,
      1,
    ),
  )(
    'closes refcount blocks early with tiny clusters and refcounts of %i bits',
    async (refcountBits, count) => {
      const clusters = Array.from({ length: count }, (_, at) => ({
        index: at + Math.floor(at / 100) * 37,
        noise: [0.5, 1, 0, 0.9, 1, 0.2, 1][(at * at) % 7]!,
      }));
      const { file } = await judge({ ...plain, clusterBits: 9, refcountBits, cacheUnits: 16, clusters });
      expect(file.length / 512).toBeGreaterThan((512 * 8) / refcountBits);
    },
  );

  test('has the same bytes for every cache size and alignment', async () => {
    await fc.assert(
      fc.asyncProperty(casesOf(fc.constantFrom(9, 12, 16), 400_000), async (given) => {
        const files: Buffer[] = [];
        for (const [cacheUnits, alignment] of [
          [0, 1],
          [0, 4096],
          [1, 4096],
          [1000, 512],
        ] as const) {
          const { storage, length } = await write({ ...given, cacheUnits, alignment }, 0);
          files.push(Buffer.from(storage.bytes(0, length)));
        }
        for (const file of files) expect(Buffer.compare(file, files[0]!)).toBe(0);
      }),
      { numRuns: tries(15) },
    );
  });

  test('of a disk without data has a header, a refcount block, a refcount table and an L1 table', async () => {
    const empty = { ...plain, clusterBits: 16, clusters: [] };
    const nothing = await judge({ ...empty, behind: 0 });
    expect(nothing.file.length).toBe(3 * 65_536);
    const sparse = await judge({ ...empty, behind: 8192 * 3 });
    expect(sparse.file.length).toBe(3 * 65_536 + 512);
  });
});

/** Text, noise and mixtures in clusters of every kind, with holes, over several L2 tables. */
function mixed(clusterBits: number, count: number): Cluster[] {
  const reach = 2 ** (clusterBits - 3);
  return Array.from({ length: count }, (_, at) => ({
    index: at + Math.floor(at / 10) * (at % 20 === 0 ? reach : 1),
    noise: [0.1, 1, 0, 0.5, 0.97, 0.2, 1, 0.9][(at * 3) % 8]!,
  }))
    .sort((a, b) => a.index - b.index)
    .filter(({ index }, at, all) => index !== all[at - 1]?.index);
}

describe('an image on disk', () => {
  test.each<Omit<Case, 'clusters' | 'alignment'> & { count: number }>([
    { ...plain, clusterBits: 9, refcountBits: 64, count: 800 },
    { ...plain, clusterBits: 9, refcountBits: 1, cacheUnits: 0, count: 400 },
    { ...plain, clusterBits: 10, refcountBits: 2, keptUnits: 30, count: 400 },
    { ...plain, clusterBits: 12, refcountBits: 4, behind: 700, count: 200 },
    { ...plain, clusterBits: 13, refcountBits: 8, cacheUnits: 1, count: 200 },
    { ...plain, clusterBits: 16, compat: 2, count: 60 },
    { ...plain, clusterBits: 16, refcountBits: 32, cacheUnits: 0, count: 30 },
    { ...plain, clusterBits: 21, refcountBits: 64, count: 4 },
  ])(
    'with clusters of 2^$clusterBits bytes and refcounts of $refcountBits bits is good in the eyes of qemu-img',
    async ({ count, ...given }) => {
      const clusters = mixed(given.clusterBits, count);
      const { file } = await judge({ ...given, alignment: 4096, clusters });
      const clusterSize = 2 ** given.clusterBits;
      const [raw, image] = [scratch('disk.raw'), scratch('disk.qcow2')];
      await makeSparseDisk(
        raw,
        sizeOf({ ...given, alignment: 4096, clusters }),
        clusters.map((cluster) => [cluster.index * clusterSize, bytesOf(cluster, clusterSize)] as const),
      );
      await writeFile(image, file);
      const { compressedClusters, allocatedClusters } = await expectGoodImage(image, raw);
      expect(allocatedClusters).toBe(clusters.length);
      expect(compressedClusters).toBeGreaterThan(0);
      expect(compressedClusters).toBeLessThan(clusters.length);
    },
  );
});

describe('the order of writes', () => {
  const given: Case = { ...plain, clusterBits: 12, clusters: mixed(12, 60) };

  /** Records the number of writes at each sync. */
  class OrderedStorage extends RecordingStorage {
    readonly syncedAt: number[] = [];

    override async sync(): Promise<void> {
      expect(this.underWay).toEqual([]);
      this.syncedAt.push(this.writes.length);
      await super.sync();
    }
  }

  test.each([
    ['of a new file', false, [3]],
    ['in place', true, [3, 1]],
  ])(
    '%s is data, a sync, what makes it reachable, and the header as the very last',
    async (_, inPlace, syncs) => {
      const storage = new OrderedStorage({ delay: turn });
      const { length } = await write(given, 0, storage, inPlace);
      const header = storage.bytes(0, 112);
      const view = new DataView(header.buffer);
      const l1Offset = Number(view.getBigUint64(40));
      const count = storage.writes.length;
      // In place, the tables are durable before the header points to them.
      expect(storage.syncedAt).toEqual(syncs.map((writesAfter) => count - writesAfter));
      expect(storage.writes.at(-1)).toMatchObject({ offset: 0, length: 4096 });
      expect(storage.writes.filter(({ offset }) => offset < 4096).length).toBe(1);
      const [refcountTable, l1] = storage.writes.slice(-3, -1);
      expect(refcountTable).toMatchObject({ offset: Number(view.getBigUint64(48)), length: 4096 });
      expect(l1).toMatchObject({ offset: l1Offset, length: roundUp(view.getUint32(36) * 8, 4096) });
      expect(length).toBeGreaterThan(l1Offset + 4096);
    },
  );

  test('ends with the first failed write and its error, for every write', async () => {
    const whole = await write(given);
    for (let failing = 0; failing < whole.storage.writes.length; failing += 1) {
      const storage = storageOf(given, 0xee);
      const error = new Error(`number ${failing}`);
      storage.failNth(failing, error, 512);
      await expect(write(given, 0xee, storage)).rejects.toBe(error);
      const isHeader = failing === whole.storage.writes.length - 1;
      expect(storage.writes.some(({ offset }) => offset === 0)).toBe(isHeader);
    }
  });

  test('ends with a failed sync before the header', async () => {
    for (const failing of [0, 1]) {
      const storage = new OrderedStorage({ delay: turn });
      const error = new Error('sync');
      storage.sync = async () => {
        if (storage.syncedAt.push(0) > failing) throw error;
      };
      await expect(write(given, 0, storage, true)).rejects.toBe(error);
      expect(storage.writes.every(({ offset }) => offset > 0)).toBe(true);
    }
  });
});
