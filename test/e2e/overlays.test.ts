/** -b FILE -F FORMAT: images that store only differences from their backing file, and show the source's disk. */
import { copyFile, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { l2Census } from '../oracle/l2-census.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { convertWithBoth, expectBothRefuse, expectSameRanges } from './beside-qemu-img.js';
import { cli, cliOk, injecting } from './cli.js';
import { clusterPlaces } from './cluster-places.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { patchworkBytes, randomBytes, textBytes } from './source-images.js';
import { storedClusters } from './stored-clusters.js';

const path = useScratch();
const KIB = 1024;
const MIB = 1024 * KIB;
const BASE = 3 * MIB;
/** Larger than the backing file, with data past its end too. */
const DISK = 4 * MIB + 512;
const image = path('image.qcow2');
const source = { qcow2: path('source.qcow2'), raw: path('source.raw') };
const base = { qcow2: path('base.qcow2'), raw: path('base.raw'), compressed: path('compressed.qcow2') };

beforeAll(async () => {
  // No cluster is zeros, so that a cluster of zeros in the source always differs.
  const bytes = Buffer.from(textBytes(BASE));
  patchworkBytes(MIB).copy(bytes, MIB);
  for (let at = 0; at < BASE; at += 512) bytes[at] = 0x5a;
  await writeFile(base.raw, bytes);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', base.raw, base.qcow2]);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', base.raw, base.compressed]);
  await create(source.qcow2, DISK, ['-b', base.qcow2, '-F', 'qcow2']);
  await qemuIo(source.qcow2, [
    'write -q -P 0x11 100k 70k',
    'write -q -z 1M 192k',
    'write -q -P 0 2M 64k',
    'write -q -P 0x22 3500k 4k',
    'write -q -P 0x33 4M 512',
  ]);
  await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', source.qcow2, source.raw]);
});

/** Guest offsets of the clusters in which two raw disks differ; past the shorter's end are zeros. */
async function differingClusters(a: string, b: string, clusterSize: number): Promise<number[]> {
  const disks = [await readFile(a), await readFile(b)] as const;
  const padded = (disk: Buffer, at: number) =>
    Buffer.concat([disk.subarray(at, at + clusterSize), Buffer.alloc(clusterSize)], clusterSize);
  const clusters: number[] = [];
  for (let at = 0; at < disks[0].length; at += clusterSize) {
    if (!padded(disks[0], at).equals(padded(disks[1], at))) clusters.push(at);
  }
  return clusters;
}

/** Expects that the image shows the source, and stores the clusters that differ from the base and no others. */
async function expectOnlyDifferences(clusterSize = 64 * KIB): Promise<void> {
  await expectGoodImage(image, source.raw);
  const stored = await storedClusters(image, clusterSize);
  expect(stored).toEqual(await differingClusters(source.raw, base.raw, clusterSize));
}

describe.each(
  shortened<[string, string[], number, { readonly zeros: boolean }]>(
    [
      ['normal clusters', [], 64 * KIB, { zeros: true }],
      ['compressed clusters', ['-c'], 64 * KIB, { zeros: true }],
      ['clusters of 2 MiB', ['-o', 'cluster_size=2M'], 2 * MIB, { zeros: false }],
      ['compressed clusters of 512 bytes', ['-c', '-o', 'cluster_size=512'], 512, { zeros: true }],
      ['compressed and extended L2 entries', ['-c', '-o', 'extended_l2=on'], 64 * KIB, { zeros: true }],
      [
        'compressed zstd clusters of version 3, -S 0',
        ['-c', '-S', '0', '-o', 'compression_type=zstd'],
        64 * KIB,
        { zeros: false },
      ],
      ['clusters of 4 KiB, version 2', ['-o', 'compat=0.10,cluster_size=4k'], 4 * KIB, { zeros: false }],
      ['compressed, version 2', ['-c', '-o', 'compat=0.10'], 64 * KIB, { zeros: false }],
    ],
    2,
  ),
)('an overlay of %s stores the differing clusters only', (_, flags, clusterSize, { zeros }) => {
  test('from an overlay of the same file', async () => {
    const over = ['-b', base.qcow2, '-F', 'qcow2'];
    await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', ...flags, ...over, source.qcow2, image]);
    await expectOnlyDifferences(clusterSize);
    // Zeros over data are zero clusters, if the version has them and the options do not forbid them.
    expect((await l2Census(image)).zero > 0).toBe(zeros);
  });
});

test.each([[['-c']], [['-o', 'compat=0.10']]])(
  'a raw disk over a compressed image is stored where it differs, with %j',
  async (flags) => {
    const over = ['-b', base.compressed, '-F', 'qcow2'];
    await cliOk(['convert', '-f', 'raw', '-O', 'qcow2', ...flags, ...over, source.raw, image]);
    await expectOnlyDifferences();
  },
);

test('an overlay of a raw file, from an overlay of it and from a raw disk', async () => {
  const other = path('over-raw.qcow2');
  await cliOk(['convert', '-f', 'raw', '-O', 'qcow2', '-b', base.raw, '-F', 'raw', source.raw, image]);
  await expectOnlyDifferences();
  await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', '-b', base.raw, '-F', 'raw', image, other]);
  expect((await readFile(other)).equals(await readFile(image))).toBe(true);
});

test.each(['compat=1.1', 'extended_l2=on'])('the ranges are those of qemu-img, with %s', async (options) => {
  const args = ['-f', 'qcow2', '-O', 'qcow2', '-B', base.qcow2, '-F', 'qcow2', '-o', options];
  await expectSameRanges(await convertWithBoth(args, [source.qcow2], path('both')), 'qcow2');
});

test('-b, -B, --backing and -o backing_file= are the same', async () => {
  const made: Buffer[] = [];
  for (const over of [
    ['-b', base.qcow2, '-F', 'qcow2'],
    ['-B', base.qcow2, '-F', 'qcow2'],
    [`--backing=${base.qcow2}`, '--backing-format=qcow2'],
    ['-o', `backing_file=${base.qcow2},backing_fmt=qcow2`],
  ]) {
    await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', ...over, source.qcow2, image]);
    made.push(await readFile(image));
  }
  expect(made.every((bytes) => bytes.equals(made[0]!))).toBe(true);
});

test('nothing of a backing file is read that the source shares', async () => {
  const [shared, over] = [path('shared.qcow2'), path('over-shared.qcow2')];
  await copyFile(base.compressed, shared);
  await create(over, DISK, ['-b', shared, '-F', 'qcow2']);
  await qemuIo(over, ['write -q -P 0x11 128k 64k', 'write -q -z 1M 64k']);
  const changed = [128 * KIB, MIB];
  await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', over, path('over-shared.raw')]);
  const bytes = await readFile(shared);
  for (const { guest, from } of await clusterPlaces(shared)) {
    if (!changed.includes(guest * 64 * KIB)) bytes.fill(0xff, from, from + 16);
  }
  await writeFile(shared, bytes);
  // Under another name it is the same file.
  const under = ['-b', './shared.qcow2', '-F', 'qcow2'];
  await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', ...under, over, image]);
  await copyFile(base.compressed, shared);
  await expectGoodImage(image, path('over-shared.raw'));
  expect(await storedClusters(image, 64 * KIB)).toEqual(changed);
});

test('nothing of a raw backing file is read that the source shares', async () => {
  const over = path('over-raw-base.qcow2');
  await create(over, DISK, ['-b', base.raw, '-F', 'raw']);
  await qemuIo(over, ['write -q -P 0x11 4M 512']);
  await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', over, path('over-raw-base.raw')]);
  const under = injecting('pread64,preadv,read', 'error=EIO', ['-P', base.raw]);
  await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', '-b', base.raw, '-F', 'raw', over, image], { under });
  await expectGoodImage(image, path('over-raw-base.raw'));
  expect(await storedClusters(image, 64 * KIB)).toEqual([4 * MIB]);
});

test('over a copy of the source’s backing file only differing clusters are stored', async () => {
  const copy = path('copy.qcow2');
  await runOk('qemu-img', [
    'convert',
    '-f',
    'qcow2',
    '-O',
    'qcow2',
    '-o',
    'cluster_size=4k',
    base.qcow2,
    copy,
  ]);
  await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', '-b', copy, '-F', 'qcow2', source.qcow2, image]);
  await expectOnlyDifferences();
});

test('over another disk the result shows the source all the same', async () => {
  const other = path('other.raw');
  await writeFile(other, randomBytes(5 * MIB));
  for (const flags of [['-c'], ['-o', 'compat=0.10']]) {
    const over = ['-b', other, '-F', 'raw'];
    await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', ...flags, ...over, source.qcow2, image]);
    await expectGoodImage(image, source.raw);
  }
});

describe('backing files of other sizes', () => {
  test.each([
    ['empty', 0, [[], ['-o', 'compat=0.10']]],
    [
      'of a few bytes',
      1000,
      [
        ['-c', '-o', 'cluster_size=4k'],
        ['-o', 'compat=0.10'],
      ],
    ],
    ['that end inside a cluster', 100 * KIB + 512, [[], ['-c', '-o', 'cluster_size=4k']]],
    ['larger than the disk', 5 * MIB, [['-o', 'compat=0.10']]],
  ])('%s', async (_, size, options) => {
    const [other, disk] = [path('sized.raw'), path('disk.raw')];
    const bytes = Buffer.alloc(size, 'backing');
    await writeFile(other, bytes);
    const content = Buffer.alloc(MIB + 512);
    bytes.copy(content, 0, 0, Math.min(size, 200 * KIB));
    content.fill(0x77, 600 * KIB, 700 * KIB);
    await writeFile(disk, content);
    for (const flags of options) {
      await cliOk(['convert', '-f', 'raw', '-O', 'qcow2', ...flags, '-b', other, '-F', 'raw', disk, image]);
      await expectGoodImage(image, disk);
    }
  });
});

describe('a chain', () => {
  const [middle, top] = [path('middle.qcow2'), path('top.qcow2')];
  beforeAll(async () => {
    await create(middle, BASE, ['-b', base.qcow2, '-F', 'qcow2']);
    await qemuIo(
      middle,
      ['write -q -P 0x44 0 64k', 'write -q -P 0x45 256k 64k', 'snapshot -q x'].slice(0, 2),
    );
    await create(top, BASE, ['-b', middle, '-F', 'qcow2']);
    await qemuIo(top, ['write -q -P 0x55 64k 64k', 'write -q -z 256k 64k']);
    await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', top, path('top.raw')]);
  });

  test.each([
    ['one below the top', middle, 'qcow2', [64 * KIB, 256 * KIB]],
    ['the lowest', base.qcow2, 'qcow2', [0, 64 * KIB, 256 * KIB]],
    ['a copy of the lowest', base.raw, 'raw', [0, 64 * KIB, 256 * KIB]],
  ])('over %s stores the data of the layers above it', async (_, backing, format, clusters) => {
    await cliOk(['convert', '-f', 'qcow2', '-O', 'qcow2', '-b', backing, '-F', format, top, image]);
    await expectGoodImage(image, path('top.raw'));
    expect(await storedClusters(image, 64 * KIB)).toEqual(clusters);
  });

  test('in which the caller replaced a backing file is compared with the target’s backing file', async () => {
    const replaced = `driver=qcow2,file.filename=${top},backing.driver=qcow2,backing.file.filename=${middle}`;
    const raw = `,backing.backing.driver=raw,backing.backing.file.filename=${source.raw}`;
    for (const below of [',backing.backing=', raw]) {
      const text = `${replaced}${below}`;
      await cliOk(['convert', '--image-opts', '-O', 'raw', text, path('replaced.raw')]);
      await cliOk(['convert', '--image-opts', '-O', 'qcow2', '-b', middle, '-F', 'qcow2', text, image]);
      await expectGoodImage(image, path('replaced.raw'));
    }
  });

  test('with a snapshot on top: the overlay holds the snapshot’s state', async () => {
    const kept = path('kept.qcow2');
    await copyFile(top, kept);
    await runOk('qemu-img', ['snapshot', '-c', 'before', kept]);
    await qemuIo(kept, ['write -q -P 0x66 1M 1M']);
    const over = ['-b', middle, '-F', 'qcow2'];
    await cliOk(['convert', '-f', 'qcow2', '-l', 'before', '-O', 'qcow2', ...over, kept, image]);
    await expectGoodImage(image, path('top.raw'));
    expect(await storedClusters(image, 64 * KIB)).toEqual([64 * KIB, 256 * KIB]);
  });
});

test('payloads of the source are copied into an overlay too', async () => {
  const packed = path('packed.qcow2');
  const over = ['-B', base.qcow2, '-F', 'qcow2'];
  await runOk('qemu-img', ['convert', '-c', '-f', 'qcow2', '-O', 'qcow2', ...over, source.qcow2, packed]);
  for (const backing of [over, ['-b', base.raw, '-F', 'raw']]) {
    const { stderr } = await cli([
      'convert',
      '-v',
      '-c',
      '-f',
      'qcow2',
      '-O',
      'qcow2',
      ...backing,
      packed,
      image,
    ]);
    expect(stderr).toMatch(/^Clusters: (\d+) compressed \(\1 copied\), 0 normal, [1-9]\d* zero/m);
    await expectOnlyDifferences();
  }
});

test('a stream over a backing file', async () => {
  const pipe = { fifo: path('fifo'), command: `cat '${source.raw}'` };
  await cliOk(['convert', '-O', 'qcow2', '-b', base.qcow2, '-F', 'qcow2', pipe.fifo, image], { pipe });
  await expectOnlyDifferences();
});

test('a relative backing file’s name starts at the target’s directory, and is stored unchanged', async () => {
  const there = path('there');
  await mkdir(there);
  await copyFile(base.qcow2, path('there', 'below.qcow2'));
  const args = ['-f', 'raw', '-O', 'qcow2', '-B', 'below.qcow2', '-F', 'qcow2'];
  const both = await convertWithBoth(args, [source.raw], path('there', 'overlay'), { cwd: path('') });
  await expectGoodImage(both.ours, source.raw);
  for (const file of Object.values(both)) {
    const found = JSON.parse(await runOk('qemu-img', ['info', '--output=json', '-f', 'qcow2', file]));
    expect(found).toMatchObject({ 'backing-filename': 'below.qcow2', 'backing-filename-format': 'qcow2' });
  }
  await copyFile(base.qcow2, path('here.qcow2'));
  const wrong = ['-f', 'raw', '-O', 'qcow2', '-B', 'here.qcow2', '-F', 'qcow2', source.raw];
  const words =
    /Could not open (the )?backing file.*: Could not open '.*there\/here\.qcow2': No such file or directory/;
  await expectBothRefuse(wrong, path('there', 'none.qcow2'), words, { cwd: path('') });
  const hint = new RegExp(
    `directory \\(a relative name begins at the target's directory; the file here is '${path('here.qcow2')}'\\)$`,
  );
  await expectFailure(path('there'), ['convert', ...wrong, path('there', 'none.qcow2')], hint, {
    cwd: path(''),
  });
});

describe('impossible options are refused in the words of qemu-img', () => {
  const target = path('none.qcow2');
  const args = ['-f', 'raw', '-O', 'qcow2'];

  test.each<[string, string[], RegExp]>([
    ['no format', ['-B', base.raw], /Use of backing file requires explicit backing format/],
    [
      'no format with -o',
      ['-o', `backing_file=${base.raw}`],
      /Use of backing file requires explicit backing format/,
    ],
    ['a format and no file', ['-F', 'raw'], /Backing format cannot be used without backing file/],
    [
      'a file that is missing',
      ['-B', path('missing'), '-F', 'raw'],
      /Could not open (the )?backing file.*: Could not open '.*missing': No such file or directory/,
    ],
    [
      'a file of another format',
      ['-B', base.raw, '-F', 'qcow2'],
      /Could not open (the )?backing file( of the target '.*none\.qcow2')?: .* not .*qcow2/,
    ],
    [
      'a raw target',
      ['-O', 'raw', '-B', base.raw, '-F', 'raw'],
      /Backing file not supported for file format 'raw'/,
    ],
    ['a name that is too long', ['-B', `${'d/'.repeat(600)}x`, '-F', 'raw'], /'/],
  ])('%s', async (_, flags, words) => {
    await expectBothRefuse([...args, ...flags, source.raw], target, words);
  });

  test('several sources', async () => {
    const words =
      /Having a backing file for the target makes no sense when concatenating multiple input images/;
    await expectBothRefuse([...args, '-B', base.raw, '-F', 'raw', source.raw, source.raw], target, words);
  });

  test('an image that would be its own backing file, or its source’s', async () => {
    const old = path('old.qcow2');
    await copyFile(source.qcow2, old);
    const over = (file: string, from: string, to: string) =>
      expectFailure(
        path(''),
        ['convert', '-f', 'qcow2', '-O', 'qcow2', '-b', file, '-F', 'qcow2', from, to],
        /same file/,
      );
    await over(old, source.qcow2, old);
    await over(base.qcow2, old, base.qcow2);
    await rm(old);
  });

  test('a backing file that is missing further down, with the whole chain of reasons', async () => {
    const [upper, lower] = [path('upper.qcow2'), path('lower.qcow2')];
    await create(lower, BASE, ['-u', '-b', 'gone.raw', '-F', 'raw']);
    await create(upper, BASE, ['-u', '-b', lower, '-F', 'qcow2']);
    const chain = /'.*upper\.qcow2'.*'.*lower\.qcow2'.*'.*gone\.raw': No such file or directory/;
    await expectFailure(path(''), ['convert', '-f', 'qcow2', '-O', 'raw', upper, target], chain);
    const over = ['convert', '-f', 'raw', '-O', 'qcow2', '-b', upper, '-F', 'qcow2', source.raw, target];
    await expectFailure(path(''), over, new RegExp(`'.*none\\.qcow2'.*${chain.source}`));
    expect((await stat(lower)).size).toBeGreaterThan(0);
  });
});
