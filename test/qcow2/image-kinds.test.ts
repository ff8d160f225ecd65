/** Images with every kind of guest cluster: read back by an independent decoder, and by qemu-img. */
import { readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { guestCluster } from '../../src/qcow2/addresses.js';
import type { CreateOptions } from '../../src/qcow2/create-options.js';
import { expectGoodImage } from '../e2e/judge.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { check, info, map } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { longTest, shortened, tries } from '../stage.js';
import { RecordingStorage } from '../storage/recording-storage.js';
import { type DecodedCluster, decodeImage } from './image-decoder.js';
import { bytesOf, guestBytes, type ImagePlan, type Step, writeImage } from './image-steps.js';

const scratch = useScratch();
const internal = expect.objectContaining({ code: 'ERR_INTERNAL' });
const ALL = 0xffffffff;

/** Subclusters, none of them both. */
const subclusters = fc
  .tuple(fc.nat(ALL), fc.nat(ALL))
  .map(([data, mask]) => ({ data, zero: Number(BigInt(mask) & ~BigInt(data) & BigInt(ALL)) }));

const plans: fc.Arbitrary<ImagePlan & { readonly alignment: 1 | 4096 }> = fc
  .record({
    clusterBits: fc.integer({ min: 9, max: 16 }),
    refcountBits: fc.constantFrom(1, 2, 8, 16, 64),
    isExtended: fc.boolean(),
    isExternal: fc.boolean(),
    isBacked: fc.boolean(),
  })
  .chain(({ clusterBits, refcountBits, isExtended, isExternal, isBacked }) => {
    const extendedL2 = isExtended && clusterBits >= 14;
    const kinds = fc.constantFrom<Step['kind']>(
      'stored',
      'zero',
      'reserved',
      isExternal ? 'stored' : 'compressed',
    );
    const most = Math.max(4, Math.min(200, 2 ** (20 - clusterBits)));
    // Reserved clusters are in the file, and an external data file is as long as the disk: both in memory.
    const long = Math.floor(2 ** 21 / 2 ** clusterBits);
    const list = fc.array(
      fc.record({
        kind: kinds,
        gap: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(long) }),
        count: fc.oneof({ weight: 9, arbitrary: fc.nat(20) }, { weight: 1, arbitrary: fc.nat(long) }),
        subclusters: fc.option(subclusters, { nil: undefined }),
      }),
      { maxLength: most, size: 'max' },
    );
    const options: CreateOptions = {
      clusterSize: 2 ** clusterBits,
      refcountBits,
      extendedL2,
      dataFile: isExternal ? 'x.data' : undefined,
      ...(isBacked ? { backingFile: 'b', backingFormat: 'raw' } : {}),
    };
    return fc.record({
      options: fc.constant(options),
      sizeUnknown: fc.boolean(),
      cacheUnits: fc.constantFrom(0, 1, 4, 64),
      alignment: fc.constantFrom(1 as const, 4096 as const),
      behind: fc.constantFrom(0, 1, isExternal ? 2 : 3000),
      steps: list.map((entries) => {
        let next = 0;
        return entries.map(({ kind, gap, count, subclusters }): Step => {
          const first = next + gap;
          const length = kind === 'zero' || kind === 'reserved' ? count : 1;
          next = first + length;
          if (kind === 'zero' || kind === 'reserved') return { kind, first, count: length };
          if (kind === 'compressed') return { kind, first };
          return { kind, first, subclusters: extendedL2 ? subclusters : undefined };
        });
      }),
    });
  })
  .map(({ behind, ...plan }) => ({
    ...plan,
    virtualSize: (endOf(plan.steps) + behind) * plan.options.clusterSize!,
  }));

function endOf(steps: readonly Step[]): number {
  const last = steps.at(-1);
  if (last === undefined) return 0;
  return last.first + ('count' in last ? last.count : 1);
}

/** The expected result of the decoder; reserved clusters may hold any bytes. */
function expectedClusters({ options, steps }: ImagePlan) {
  const found = new Map<number, { kind: DecodedCluster['kind']; bytes?: Buffer; subclusters?: object }>();
  const { clusterSize = 65_536 } = options;
  const stored = options.dataFile === undefined ? 'normal' : 'external';
  const second = (data: number, zero: number) => (options.extendedL2 ? { subclusters: { data, zero } } : {});
  for (const step of steps) {
    if (step.kind === 'compressed') {
      found.set(step.first, { kind: 'compressed', bytes: bytesOf(step, clusterSize) });
    } else if (step.kind === 'stored') {
      const { data, zero } = step.subclusters ?? { data: ALL, zero: 0 };
      found.set(step.first, { kind: stored, bytes: bytesOf(step, clusterSize), ...second(data, zero) });
    } else {
      for (let cluster = step.first; cluster < step.first + step.count; cluster += 1) {
        const isZero = step.kind === 'zero';
        found.set(cluster, { kind: isZero ? 'zero' : stored, ...second(0, isZero ? ALL : 0) });
      }
    }
  }
  return found;
}

describe('an image in memory', () => {
  test('holds the clusters written, of every kind, and counts every host cluster', async () => {
    await fc.assert(
      fc.asyncProperty(plans, async (plan) => {
        const storage = new RecordingStorage({ alignment: plan.alignment, background: 0xee });
        storage.readsExpected = plan.cacheUnits === 0;
        const { file, dataFile, counts } = await writeImage({ ...plan, storage });
        expect(storage.violations).toEqual([]);
        const image = decodeImage(file, dataFile);
        expect(image.virtualSize).toBe(plan.virtualSize);
        const expected = expectedClusters(plan);
        expect([...image.clusters.keys()].sort((a, b) => a - b)).toEqual([...expected.keys()]);
        for (const [index, { bytes, ...rest }] of expected) {
          const { bytes: seen, ...found } = image.clusters.get(index)!;
          if (bytes !== undefined && !seen.equals(bytes)) throw new Error(`guest cluster ${index} differs`);
          if (JSON.stringify(found) !== JSON.stringify(rest)) expect(found).toEqual(rest);
        }
        expect(new Map([...image.refcounts].sort(([a], [b]) => a - b))).toEqual(
          new Map([...image.references].sort(([a], [b]) => a - b)),
        );
        // Tables lie before the guest data that they lead to, except tables that a stream outgrows.
        const late = image.tables.filter(({ end, firstData }) => end > firstData);
        const isRoot = (kind: string) => kind === 'L1' || kind === 'refcount table';
        expect(late.filter(({ kind }) => !(plan.sizeUnknown && isRoot(kind)))).toEqual([]);
        const sum = (kind: Step['kind']) =>
          plan.steps.reduce(
            (all, step) => all + (step.kind === kind ? ('count' in step ? step.count : 1) : 0),
            0,
          );
        expect(counts).toMatchObject({
          compressedClusters: sum('compressed'),
          normalClusters: sum('stored'),
          zeroClusters: sum('zero'),
        });
      }),
      { numRuns: tries(40) },
    );
  });

  test.each([9, 12, 16])('is not written in reserved clusters of 2^%i bytes', async (clusterBits) => {
    const clusterSize = 2 ** clusterBits;
    const steps: Step[] = [];
    for (let first = 0; first < 60; first += 20) {
      steps.push({ kind: 'stored', first }, { kind: 'reserved', first: first + 1, count: 18 });
      steps.push({ kind: 'stored', first: first + 19 });
    }
    const storage = new RecordingStorage({ background: 0xee });
    const options = { clusterSize };
    const { file } = await writeImage({ options, virtualSize: 60 * clusterSize, steps, storage });
    const image = decodeImage(file);
    let untouched = 0;
    for (const { first } of steps.filter(({ kind }) => kind === 'reserved')) {
      for (let cluster = first; cluster < first + 18; cluster += 1) {
        const { bytes } = image.clusters.get(cluster)!;
        if (bytes.every((byte) => byte === 0xee)) untouched += 1;
        // The rest of an aligned write that holds another cluster.
        else expect(bytes.every((byte) => byte === 0)).toBe(true);
      }
    }
    expect(untouched).toBeGreaterThanOrEqual(3 * (18 - 2 * (Math.max(4096, clusterSize) / clusterSize - 1)));
  });

  longTest('is written in few pieces when hundreds of thousands of clusters are reserved', async () => {
    const count = 400_000;
    const steps: Step[] = [
      { kind: 'stored', first: 0 },
      { kind: 'reserved', first: 1, count },
      { kind: 'stored', first: count + 1 },
    ];
    const storage = new RecordingStorage();
    const virtualSize = (count + 2) * 65_536;
    const plan: ImagePlan = { options: {}, virtualSize, steps, storage };
    const { writes } = await writeWithoutReading(plan);
    // One for the L2 table of each 512 MiB at most.
    expect(writes.length).toBeLessThan(60);
    expect(writes.reduce((sum, { length }) => sum + length, 0)).toBeLessThan(13 * 2 ** 20);
  });

  test("of a stream grows its L1 table up to QEMU's limit", async () => {
    const steps: Step[] = [{ kind: 'stored', first: (128 * 2 ** 30) / 512 }];
    const plan = { options: { clusterSize: 512 }, virtualSize: 512, steps, sizeUnknown: true };
    await expect(writeImage(plan)).rejects.toMatchObject({
      code: 'ERR_LIMIT',
      message: "The image size is too large for file format 'qcow2' (try using a larger cluster size)",
    });
  });

  test.each<[string, ImagePlan]>([
    [
      'a zero cluster in version 2',
      { options: { compat: 2 }, virtualSize: 65_536, steps: [{ kind: 'zero', first: 0, count: 1 }] },
    ],
    [
      'a compressed cluster beside a data file',
      { options: { dataFile: 'x' }, virtualSize: 65_536, steps: [{ kind: 'compressed', first: 0 }] },
    ],
    ['a cluster past the disk', { options: {}, virtualSize: 65_536, steps: [{ kind: 'stored', first: 1 }] }],
    [
      'reserved clusters past the end of a stream',
      {
        options: {},
        virtualSize: 65_536,
        sizeUnknown: true,
        steps: [{ kind: 'reserved', first: 0, count: 2 }],
      },
    ],
    [
      'a subcluster that is data and zeros',
      {
        options: { extendedL2: true },
        virtualSize: 65_536,
        steps: [{ kind: 'stored', first: 0, subclusters: { data: 1, zero: ALL } }],
      },
    ],
    [
      'clusters that do not ascend',
      {
        options: {},
        virtualSize: 655_360,
        steps: [
          { kind: 'zero', first: 3, count: 4 },
          { kind: 'stored', first: 6 },
        ],
      },
    ],
  ])('never holds %s', async (_, plan) => {
    await expect(writeImage(plan)).rejects.toThrow(internal);
  });
});

/** Only the writes: the file is too long to be read. */
async function writeWithoutReading(plan: ImagePlan): Promise<RecordingStorage> {
  const storage = plan.storage!;
  storage.bytes = () => new Uint8Array(0);
  await writeImage(plan);
  return storage;
}

/** Every kind in turn, with all kinds of subclusters, over several L2 tables if these cover less. */
function mixedSteps({ clusterSize = 65_536, extendedL2 = false, compat, dataFile }: CreateOptions): Step[] {
  const entries = clusterSize / (extendedL2 ? 16 : 8);
  const masks = [
    { data: 1, zero: 0 },
    { data: 0x80000000, zero: 0x7fffffff },
    { data: 0, zero: 0xffff },
    { data: 0x0f0f0f0f, zero: 0xf0000000 },
    undefined,
  ];
  const steps: Step[] = [];
  for (let turn = 0; turn < 12; turn += 1) {
    const jumps = turn % 4 === 3 && entries * clusterSize <= 16 * 2 ** 20;
    let first = jumps ? Math.ceil(endOf(steps) / entries) * entries - 2 : endOf(steps) + (turn % 3);
    steps.push({ kind: 'stored', first, subclusters: extendedL2 ? masks[turn % 5] : undefined });
    first += 1;
    if (dataFile === undefined)
      steps.push({ kind: 'compressed', first }, { kind: 'compressed', first: first + 1 });
    first += 2;
    if (compat !== 2) steps.push({ kind: 'zero', first, count: 1 + (turn % 5) });
    first += 6;
    steps.push({ kind: 'reserved', first, count: 1 + (turn % 4) });
  }
  return steps;
}

describe('an image on disk', () => {
  test.each(
    shortened<[string, readonly boolean[], CreateOptions]>(
      [
        ['extended L2 entries', [false, true], { extendedL2: true, clusterSize: 16_384 }],
        ['extended L2 entries of large clusters', [true], { extendedL2: true, refcountBits: 1 }],
        ['zero clusters', [false, true], { clusterSize: 4096 }],
        ['zero clusters of 512 bytes', [true], { clusterSize: 512 }],
        ['version 2', [true], { clusterSize: 4096, compat: 2 }],
        ['an external data file', [false, true], { clusterSize: 4096, dataFile: 'x.data' }],
        ['an external data file of 512-byte clusters', [false], { clusterSize: 512, dataFile: 'x.data' }],
        [
          'an external data file and extended L2 entries',
          [true],
          { extendedL2: true, clusterSize: 16_384, dataFile: 'x.data' },
        ],
      ],
      3,
    ),
  )('with %s, over a backing file: %j, is valid for qemu-img', async (_, backed, options) => {
    const steps = mixedSteps(options);
    const { clusterSize = 65_536 } = options;
    const virtualSize = (endOf(steps) + 3) * clusterSize + 512;
    // Shorter than the overlay.
    const backing = randomBytes(Math.floor(virtualSize / 1.5 / 512) * 512);
    const [image, raw, base, data] = ['i.qcow2', 'i.raw', 'base.raw', 'x.data'].map((name) => scratch(name));
    await writeFile(base!, backing);
    const dataFile = options.dataFile === undefined ? undefined : data!;
    for (const isBacked of backed) {
      const names: CreateOptions = isBacked ? { backingFile: 'base.raw', backingFormat: 'raw' } : {};
      const plan: ImagePlan = { options: { ...options, ...names, dataFile }, virtualSize, steps };
      const written = await writeImage(plan);
      await writeFile(image!, written.file);
      if (dataFile !== undefined) await writeFile(dataFile, written.dataFile);
      const expected = guestBytes(plan, isBacked ? backing : undefined);
      await writeFile(raw!, expected);
      await expectGoodImage(image!, raw!);

      // A virtual machine can use it: every kind is partly overwritten.
      const commands = steps.map(({ first }) => `write -P 7 ${first * clusterSize + 512} 512`);
      if (clusterSize === 512) continue;
      await qemuIo(image!, commands);
      for (const { first } of steps) expected.fill(7, first * clusterSize + 512, first * clusterSize + 1024);
      await writeFile(raw!, expected);
      await expectGoodImage(image!, raw!);
    }
  });

  test('with a raw external data file is mapped as a whole, and the file is the disk', async () => {
    for (const extendedL2 of [false, true]) {
      const dataFile = scratch('raw.data');
      const [image, raw] = [scratch('raw-data.qcow2'), scratch('raw-data.raw')];
      const options: CreateOptions = { clusterSize: 16_384, extendedL2, dataFile, dataFileRaw: true };
      const steps: Step[] = [
        { kind: 'reserved', first: 0, count: 3 },
        { kind: 'stored', first: 3 },
        { kind: 'reserved', first: 4, count: 3000 },
        { kind: 'stored', first: 3004 },
      ];
      const plan: ImagePlan = { options, virtualSize: 3005 * 16_384, steps };
      const written = await writeImage(plan);
      await writeFile(image, written.file);
      await writeFile(dataFile, written.dataFile);
      await writeFile(raw, guestBytes(plan));
      const { allocatedClusters } = await expectGoodImage(image, raw);
      expect(allocatedClusters).toBe(3005);
      expect(Buffer.compare(written.dataFile, guestBytes(plan))).toBe(0);
    }
  });

  test('distinguishes zeros from clusters of its backing file', async () => {
    const image = scratch('zeros.qcow2');
    const backing = randomBytes(40 * 65_536);
    await writeFile(scratch('under.raw'), backing);
    const options: CreateOptions = { backingFile: 'under.raw', backingFormat: 'raw' };
    const steps: Step[] = [{ kind: 'zero', first: 10, count: 20 }];
    await writeFile(image, (await writeImage({ options, virtualSize: backing.length, steps })).file);
    const ranges = (await map(image, 'qcow2')).map(({ start, length, zero }) => [
      start / 65_536,
      length / 65_536,
      zero,
    ]);
    expect(ranges).toEqual([
      [0, 10, false],
      [10, 20, true],
      [30, 10, false],
    ]);
  });

  test('of a stream has the L1 table for its final size', async () => {
    const [image, raw] = [scratch('stream.qcow2'), scratch('stream.raw')];
    const steps: Step[] = Array.from({ length: 400 }, (_, at) => ({ kind: 'compressed', first: at * 21 }));
    for (const behind of [0, 40_000]) {
      const virtualSize = (400 * 21 + behind) * 512;
      const plan: ImagePlan = { options: { clusterSize: 512 }, virtualSize, steps, sizeUnknown: true };
      await writeFile(image, (await writeImage(plan)).file);
      await writeFile(raw, guestBytes(plan));
      await expectGoodImage(image, raw);
      expect((await info(image)).virtualSize).toBe(virtualSize);
    }
  });
});

describe('the bitmaps of an image', () => {
  const KIB = 1024;
  const clusters = (kinds: string, clusterSize: number) =>
    (async function* () {
      const bytes = new Uint8Array(clusterSize);
      for (const [index, kind] of [...kinds].entries()) {
        if (kind === '0') yield { kind: 'zeros' as const };
        else if (kind === '1') yield { kind: 'ones' as const };
        else {
          bytes.set(randomBytes(clusterSize, index));
          yield { kind: 'data' as const, bytes };
          bytes.fill(0x99);
        }
      }
    })();
  const oneBitmap = (kinds: string, clusterSize: number) => [
    { bitmap: { name: 'b', granularityBits: 9, auto: false }, clusters: clusters(kinds, clusterSize) },
  ];
  const bits = (kinds: string, clusterSize: number) =>
    Buffer.concat(
      [...kinds].map((kind, index) =>
        kind === 'd' ? randomBytes(clusterSize, index) : Buffer.alloc(clusterSize, kind === '1' ? 0xff : 0),
      ),
    );

  test.each([512, 4096, 65_536])(
    'are found with their bits, names and flags, with clusters of %i bytes',
    async (clusterSize) => {
      // With a granularity of 512 bytes a cluster of bits stands for so many bytes of the disk.
      const reach = clusterSize * 8 * 512;
      const list = [
        { name: 'first', granularityBits: 9, auto: true, kinds: 'd01d10dd' },
        { name: 'zweite 😀', granularityBits: 9, auto: false, kinds: '00000000' },
        { name: 'n'.repeat(1023), granularityBits: 10, auto: true, kinds: '1d0d' },
        ...Array.from({ length: 20 }, (_, index) => ({
          name: `number ${index}`,
          granularityBits: 11,
          auto: false,
          kinds: 'dd',
        })),
      ];
      const plan: ImagePlan = {
        options: { clusterSize },
        virtualSize: 8 * reach,
        steps: [
          { kind: 'compressed', first: 0 },
          { kind: 'stored', first: 5 },
        ],
        beforeSteps: (writer) =>
          writer.body.addBitmaps(
            list.map(({ kinds, ...bitmap }) => ({ bitmap, clusters: clusters(kinds, clusterSize) })),
          ),
      };
      const { file, storage } = await writeImage(plan);
      expect(storage.violations).toEqual([]);
      const image = decodeImage(file);
      expect(new Map([...image.refcounts].sort(([a], [b]) => a - b))).toEqual(
        new Map([...image.references].sort(([a], [b]) => a - b)),
      );
      expect(image.bitmaps.map(({ bits: _, ...bitmap }) => bitmap)).toEqual(
        list.map(({ kinds: _, ...bitmap }) => bitmap),
      );
      for (const [index, { kinds }] of list.entries()) {
        expect(Buffer.compare(image.bitmaps[index]!.bits, bits(kinds, clusterSize))).toBe(0);
      }
      const name = scratch('bitmaps.qcow2');
      await writeFile(name, file);
      expect(await check(name)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
      const text = await runOk('qemu-img', ['info', '--output=json', name]);
      const { data } = JSON.parse(text)['format-specific'];
      expect(data.bitmaps).toEqual(
        list.map(({ name, granularityBits, auto }) => ({
          name,
          granularity: 2 ** granularityBits,
          flags: auto ? ['auto'] : [],
        })),
      );
    },
  );

  test('are copied unchanged by qemu-img', async () => {
    const [image, copy] = [scratch('source.qcow2'), scratch('copy.qcow2')];
    const clusterSize = 4 * KIB;
    const plan: ImagePlan = {
      options: { clusterSize },
      virtualSize: 4 * clusterSize * 8 * 512,
      steps: [],
      beforeSteps: (writer) => writer.body.addBitmaps(oneBitmap('d10d', clusterSize)),
    };
    await writeFile(image, (await writeImage(plan)).file);
    const args = ['convert', '-f', 'qcow2', '-O', 'qcow2', '--bitmaps', '-o', 'cluster_size=4k', image, copy];
    await runOk('qemu-img', args);
    const [found] = decodeImage(await readFile(copy)).bitmaps;
    expect(Buffer.compare(found!.bits, bits('d10d', clusterSize))).toBe(0);
  });

  test('are refused when the header has no room for their extension', async () => {
    const plan: ImagePlan = {
      options: { clusterSize: 512, backingFile: 'n'.repeat(350), backingFormat: 'raw' },
      virtualSize: 512 * 8 * 512,
      steps: [],
      beforeSteps: (writer) => writer.body.addBitmaps(oneBitmap('1', 512)),
    };
    await expect(writeImage(plan)).rejects.toMatchObject({ code: 'ERR_LIMIT', expected: 512 });
  });

  test('come last if their bits are known at the end only', async () => {
    const clusterSize = 4 * KIB;
    const plan: ImagePlan = {
      options: { clusterSize },
      virtualSize: 4 * clusterSize * 8 * 512,
      steps: [{ kind: 'stored', first: 900 }],
      beforeSteps: async (writer) => {
        await writer.clusters.writeNormal(guestCluster(1), new Uint8Array(clusterSize).fill(1));
        await writer.body.addBitmaps(oneBitmap('d10d', clusterSize));
      },
    };
    const image = decodeImage((await writeImage(plan)).file);
    expect([...image.clusters.keys()]).toEqual([1, 900]);
    expect(Buffer.compare(image.bitmaps[0]!.bits, bits('d10d', clusterSize))).toBe(0);
    expect(new Map([...image.refcounts].sort(([a], [b]) => a - b))).toEqual(
      new Map([...image.references].sort(([a], [b]) => a - b)),
    );
  });
});
