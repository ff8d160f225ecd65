/** -o preallocation=: allocated blocks and clusters beyond the data, compared with qemu-img. */
import { readFile, stat } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { create, map } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { decodeImage } from '../qcow2/image-decoder.js';
import { sample, shortened } from '../stage.js';
import { convertWithBoth, expectBothRefuse, expectSameGuest, expectSameRanges } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const KIB = 1024;
const DISK = 6016 * KIB;
const raw = path('disk.raw');
const image = path('image.qcow2');
/** Data in whole clusters, written zeros, and a hole at either end. */
beforeAll(() =>
  makeSparseDisk(raw, DISK, [
    [1024 * KIB, textBytes(192 * KIB)],
    [2048 * KIB, randomBytes(64 * KIB)],
    [3072 * KIB, Buffer.alloc(256 * KIB)],
  ]),
);

/** Bytes that a file takes on the disk. */
async function taken(file: string): Promise<number> {
  return (await stat(file)).blocks * 512;
}

/** @param clusterSize bytes: qemu-img's file ends in a cluster that ours has whole */
async function expectAsManyBlocks(
  { ours, theirs }: { ours: string; theirs: string },
  clusterSize = 64 * KIB,
): Promise<void> {
  expect(Math.abs((await taken(ours)) - (await taken(theirs)))).toBeLessThanOrEqual(clusterSize);
}

test.each(['off', 'falloc', 'full'])(
  'a raw disk with %s has the blocks and ranges of qemu-img',
  async (mode) => {
    const args = ['-f', 'raw', '-O', 'raw', '-o', `preallocation=${mode}`];
    const both = await convertWithBoth(args, [raw], path(`raw-${mode}`));
    await expectSameRanges(both, 'raw');
    await expectAsManyBlocks(both);
    if (mode !== 'off') expect(await taken(both.ours)).toBeGreaterThanOrEqual(DISK);
  },
);

test.each(shortened(['falloc', 'full'], 1))(
  'a raw disk that comes as a stream has all its blocks with %s',
  async (mode) => {
    const pipe = { fifo: path('fifo'), command: `cat '${raw}'` };
    const args = ['convert', '-O', 'raw', '-o', `preallocation=${mode}`, pipe.fifo, path('stream.raw')];
    await cliOk(args, { pipe });
    expect((await readFile(path('stream.raw'))).equals(await readFile(raw))).toBe(true);
    expect(await taken(path('stream.raw'))).toBeGreaterThanOrEqual(DISK);
  },
);

const GEOMETRIES = ['', ',cluster_size=4k', ',cluster_size=2M', ',compat=0.10', ',refcount_bits=1'];
const IMAGES = ['off', 'metadata', 'falloc', 'full'].flatMap((mode) =>
  GEOMETRIES.map((options) => [mode, options] as const),
);

// Four of them are each way of preallocation once.
test.each(sample(IMAGES, 4))(
  'an image with %s%s has the blocks and ranges of qemu-img',
  async (mode, options) => {
    const args = ['-f', 'raw', '-O', 'qcow2', '-o', `preallocation=${mode}${options}`];
    const both = await convertWithBoth(args, [raw], path('image'));
    if (options === ',cluster_size=2M') await expectSameGuest(both, 'qcow2');
    else await expectSameRanges(both, 'qcow2');
    const clusterSize = { ',cluster_size=4k': 4 * KIB, ',cluster_size=2M': 2048 * KIB }[options] ?? 64 * KIB;
    if (mode !== 'metadata') await expectAsManyBlocks(both, Math.max(clusterSize, 64 * KIB));
    if (mode === 'off') return;
    // Every guest cluster has its place already, so that later writes change no table.
    const { clusters } = decodeImage(await readFile(both.ours));
    expect(clusters.size).toBe(Math.ceil(DISK / clusterSize));
  },
);

test.each(['metadata', 'falloc', 'full'])(
  'an image with %s and extended L2 entries has a place for every cluster',
  async (mode) => {
    const options = `preallocation=${mode},extended_l2=on`;
    await cliOk(['convert', '-f', 'raw', '-O', 'qcow2', '-o', options, raw, image]);
    await expectGoodImage(image, raw);
    expect(decodeImage(await readFile(image)).clusters.size).toBe(Math.ceil(DISK / (64 * KIB)));
    if (mode !== 'metadata') expect(await taken(image)).toBeGreaterThanOrEqual(DISK);
  },
);

test('a preallocated overlay shows its backing file where it has reserved clusters only', async () => {
  const [base, source] = [path('base.qcow2'), path('source.qcow2')];
  await create(base, DISK);
  await qemuIo(base, ['write -q -P 0x11 0 5M']);
  await create(source, DISK, ['-b', base, '-F', 'qcow2']);
  await qemuIo(source, ['write -q -P 0x22 1M 64k', 'write -q -z 2M 256k', 'write -q -P 0x33 3M 1k']);
  await cliOk(['convert', '-f', 'qcow2', '-O', 'raw', source, path('source.raw')]);
  for (const mode of ['metadata', 'full']) {
    const options = `extended_l2=on,preallocation=${mode}`;
    const args = ['-f', 'qcow2', '-O', 'qcow2', '-B', base, '-F', 'qcow2', '-o', options];
    const both = await convertWithBoth(args, [source], path('overlay'));
    await expectSameGuest(both, 'qcow2');
    await expectGoodImage(both.ours, path('source.raw'));
    const { clusters } = decodeImage(await readFile(both.ours));
    expect(clusters.size).toBe(Math.ceil(DISK / (64 * KIB)));
    expect(clusters.get(0)).toMatchObject({ kind: 'normal', subclusters: { data: 0, zero: 0 } });
    expect((await map(both.ours, 'qcow2')).some(({ depth }) => depth === 1)).toBe(true);
  }
});

test('targets that cannot be preallocated are refused in the words of qemu-img', async () => {
  const target = path('none');
  const refused = (args: string[], words: RegExp) => expectBothRefuse([...args, raw], target, words);
  const qcow2 = ['-f', 'raw', '-O', 'qcow2'];
  await refused(
    [...qcow2, '-c', '-o', 'preallocation=metadata'],
    /Compression and preallocation not supported at the same time/,
  );
  await refused(
    [...qcow2, '-o', 'preallocation=some'],
    /Parameter 'preallocation' does not accept value 'some'/,
  );
  await refused(['-f', 'raw', '-O', 'raw', '-o', 'preallocation=metadata'], /preallocation.*metadata/);
  await refused(
    [...qcow2, '-B', raw, '-F', 'raw', '-o', 'preallocation=metadata'],
    /Backing file and preallocation can only be used at the same time if extended_l2 is on/,
  );
});
