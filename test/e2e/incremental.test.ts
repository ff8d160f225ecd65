/** --bitmap: images that store what a persistent dirty bitmap lists as changed, over the backup of the time before. */
import { copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { l2Census } from '../oracle/l2-census.js';
import { whileQemuNbd } from '../oracle/nbd-server.js';
import { check, create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { BLOCK_STATUS, errorChunk, type NbdRequest, scriptedServer } from '../oracle/scripted-nbd-server.js';
import { sample } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';
import { storedClusters } from './stored-clusters.js';

const path = useScratch();
const KIB = 1024;
const MIB = 1024 * KIB;
/** Not whole clusters of any size. */
const DISK = 12 * MIB + 512;
const disk = path('disk.qcow2');
const full = path('full.qcow2');
const image = path('incremental.qcow2');
const over = ['-B', full, '-F', 'qcow2'];

const bitmap = (file: string, ...args: string[]) =>
  runOk('qemu-img', ['bitmap', '-f', 'qcow2', ...args.slice(1), file, args[0]!]);

/** The disk with its bitmaps, which all begin with the full backup. */
async function makeDisk(file: string, options: readonly string[]): Promise<void> {
  const raw = path('start.raw');
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', ...options, raw, file]);
  await bitmap(file, 'fine', '--add', '-g', '512');
  await bitmap(file, 'daily', '--add', '-g', '64k');
  await bitmap(file, 'coarse', '--add', '-g', '2M');
  await bitmap(file, 'off', '--add');
}

/** What the guest does after the full backup: the bytes from an offset on, in KiB, and how they are written. */
const CHANGES: readonly (readonly [at: number, length: number, how: string])[] = [
  [3, 0.5, '-P 1'],
  [700, 200, '-P 2'],
  [2048, 512, '-z'],
  [5120, 64, '-P 0'],
  [9216, 1, '-P 3'],
  [12_288, 0.5, '-P 4'],
];
const WRITES = CHANGES.map(([at, length, how]) => `write -q ${how} ${at * KIB} ${length * KIB}`);

beforeAll(async () => {
  await writeFile(path('start.raw'), patchworkBytes(DISK));
  await makeDisk(disk, []);
  await cliOk(['convert', '-c', '-f', 'qcow2', disk, full]);
  await qemuIo(disk, WRITES);
});

const GRANULARITIES = { fine: 512, daily: 64 * KIB, coarse: 2 * MIB };

/** Guest offsets of the clusters that hold a byte of a granule with a change. */
function listed(name: keyof typeof GRANULARITIES, clusterSize: number): number[] {
  const granularity = GRANULARITIES[name];
  const clusters = new Set<number>();
  for (const [at, length] of CHANGES) {
    const from = at * KIB - ((at * KIB) % granularity);
    const end = Math.min(Math.ceil(((at + length) * KIB) / granularity) * granularity, DISK);
    for (let cluster = from - (from % clusterSize); cluster < end; cluster += clusterSize)
      clusters.add(cluster);
  }
  return [...clusters].sort((a, b) => a - b);
}

const compare = (one: string, other: string) =>
  runOk('qemu-img', ['compare', '-f', 'qcow2', '-F', 'qcow2', one, other]);

async function expectIncremental(
  source: string,
  made: string,
  name: keyof typeof GRANULARITIES,
  clusterSize: number,
) {
  expect(await compare(source, made)).toBe('Images are identical.\n');
  expect(await check(made)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  expect(await storedClusters(made, clusterSize)).toEqual(listed(name, clusterSize));
}

describe.each(
  sample<[keyof typeof GRANULARITIES, number, readonly string[]]>(
    [
      ['daily', 64 * KIB, ['-c']],
      ['fine', 64 * KIB, ['-c', '-o', 'compression_type=zstd']],
      ['coarse', 4 * KIB, ['-c', '-o', 'cluster_size=4k']],
      ['fine', 512, ['-c', '-o', 'cluster_size=512']],
      ['daily', 2 * MIB, ['-c', '-o', 'cluster_size=2M']],
      ['daily', 64 * KIB, ['-c', '-S', '0']],
      ['daily', 64 * KIB, ['-c', '-o', 'compat=0.10']],
      ['coarse', 64 * KIB, ['-O', 'qcow2']],
      ['fine', 64 * KIB, ['-O', 'qcow2', '-o', 'extended_l2=on']],
      ['fine', 4 * KIB, ['-O', 'qcow2', '-o', 'cluster_size=4k']],
    ],
    2,
    3,
  ),
)('the bitmap %s over clusters of %d bytes, with %j', (name, clusterSize, flags) => {
  const convert = ['convert', '-f', 'qcow2', ...flags, '--bitmap', name, ...over];

  test('lists the clusters that are stored, zeros as zero clusters; the disk is the source’s', async () => {
    await cliOk([...convert, '--verify', disk, image]);
    await expectIncremental(disk, image, name, clusterSize);
    const storesZeros = !flags.includes('0') && !flags.includes('compat=0.10') && clusterSize < MIB;
    expect((await l2Census(image)).zero > 0).toBe(storesZeros);
    if (clusterSize !== 64 * KIB) return;
    const other = path('one-thread.qcow2');
    await cliOk([...convert, '-m', '1', '-T', 'none', disk, other]);
    expect((await readFile(other)).equals(await readFile(image))).toBe(true);
  });
});

test('an image with an external data file has bitmaps too', async () => {
  const external = path('external.qcow2');
  await makeDisk(external, ['-o', `data_file=${path('external.raw')},data_file_raw=on`]);
  await qemuIo(external, WRITES);
  await cliOk(['convert', '-c', '-f', 'qcow2', '--verify', '--bitmap', 'daily', ...over, external, image]);
  await expectIncremental(external, image, 'daily', 64 * KIB);
});

test('a disabled bitmap lists the changes up to that time; later ones are not stored', async () => {
  const later = path('later.qcow2');
  await copyFile(disk, later);
  await bitmap(later, 'off', '--disable');
  await qemuIo(later, ['write -q -P 9 4M 64k']);
  await cliOk(['convert', '-c', '-f', 'qcow2', '--verify', '--bitmap', 'off', ...over, later, image]);
  expect(await storedClusters(image, 64 * KIB)).toEqual(listed('daily', 64 * KIB));
  expect(await compare(disk, image)).toBe('Images are identical.\n');
});

test('clusters that were written with their old bytes are left out by --compare-with-backing only', async () => {
  const same = path('same.qcow2');
  await makeDisk(same, []);
  const old = (await readFile(path('start.raw'))).subarray(6 * MIB, 6 * MIB + 64 * KIB);
  await writeFile(path('old.bin'), old);
  await qemuIo(same, [`write -q -s ${path('old.bin')} 6M 64k`, 'write -q -P 7 7M 64k']);
  const convert = ['convert', '-c', '-f', 'qcow2', '--verify', '--bitmap', 'daily', ...over];
  await cliOk([...convert, same, image]);
  expect(await storedClusters(image, 64 * KIB)).toEqual([6 * MIB, 7 * MIB]);
  await cliOk([...convert, '--compare-with-backing', same, image]);
  expect(await storedClusters(image, 64 * KIB)).toEqual([7 * MIB]);
  expect(await compare(same, image)).toBe('Images are identical.\n');
});

test('-v says what was verified', async () => {
  const args = ['convert', '-c', '-v', '-f', 'qcow2', '--verify', '--bitmap', 'daily', ...over, disk, image];
  expect((await cli(args)).stderr).toMatch(
    /Verified: .*; only changed clusters were compared, the backing file was not\n$/,
  );
});

test('a disk that has grown is stored from the old end on, without clusters for the holes', async () => {
  const grown = path('grown.qcow2');
  await copyFile(disk, grown);
  const size = 2 * 1024 * MIB;
  await runOk('qemu-img', ['resize', '-q', '-f', 'qcow2', grown, String(size)]);
  await qemuIo(grown, ['write -q -P 8 1G 1k']);
  await cliOk(['convert', '-c', '-f', 'qcow2', '--verify', '--bitmap', 'daily', ...over, grown, image]);
  expect(await compare(grown, image)).toBe('Images are identical.\n');
  const stored = await storedClusters(image, 64 * KIB);
  expect(stored).toEqual([...listed('daily', 64 * KIB), 1024 * MIB]);
});

describe('with -n', () => {
  const existing = path('existing.qcow2');
  const convert = ['convert', '-n', '-c', '-f', 'qcow2', '--verify', '--bitmap', 'daily'];

  test('the target shows its own backing file where nothing has changed', async () => {
    await create(existing, DISK, ['-b', full, '-F', 'qcow2', '-o', 'cluster_size=16k']);
    await qemuIo(existing, ['write -q -P 77 8M 1M']);
    await cliOk([...convert, disk, existing]);
    await expectIncremental(disk, existing, 'daily', 16 * KIB);
    await cliOk([...convert, ...over, disk, existing]);
  });

  test('the target may be in an export', async () => {
    await create(existing, DISK, ['-b', full, '-F', 'qcow2']);
    await truncate(existing, 4 * MIB);
    const served = ['-f', 'raw', '-e', '8', existing];
    await whileQemuNbd(path('target.socket'), served, ({ uri }) => cliOk([...convert, disk, uri()]));
    await expectIncremental(disk, existing, 'daily', 64 * KIB);
  });

  test('a target without that backing file, or of another size, is refused', async () => {
    await create(existing, DISK, []);
    await expectFailure(
      path(''),
      [...convert, disk, existing],
      /existing.qcow2' has no backing file: with -n and --bitmap/,
    );
    await create(existing, DISK, ['-b', full, '-F', 'qcow2']);
    const other = ['-B', 'other.qcow2', '-F', 'qcow2'];
    await expectFailure(
      path(''),
      [...convert, ...other, disk, existing],
      /has the backing file '.*full.qcow2': with -n/,
    );
    await create(existing, DISK + MIB, ['-b', full, '-F', 'qcow2']);
    await expectFailure(
      path(''),
      [...convert, disk, existing],
      /with --bitmap it must have the 12583424 of the source/,
    );
  });
});

describe('over NBD', () => {
  const socket = path('nbd.socket');
  const compressed = ['convert', '-c', '--verify', ...over];
  const fromFile = path('from-file.qcow2');
  const same = async () => (await readFile(image)).equals(await readFile(fromFile));

  beforeAll(() => cliOk([...compressed, '-f', 'qcow2', '--bitmap', 'fine', disk, fromFile]));

  test('the result is the file’s: by the server’s bitmap of a raw disk, or by the bitmap in a qcow2 image', async () => {
    const bitmapOf = ['-f', 'qcow2', '-B', 'fine'];
    await whileQemuNbd(socket, ['-r', '-e', '8', ...bitmapOf, disk], async (server) => {
      await cliOk([...compressed, '-f', 'raw', '--bitmap', 'fine', server.uri(), image]);
      expect(await same()).toBe(true);
      const sized = ['-o', `backing_file=${full},backing_fmt=qcow2`];
      const measured = await cliOk([
        'measure',
        '-c',
        '-f',
        'raw',
        '--bitmap',
        'fine',
        ...sized,
        server.uri(),
      ]);
      expect(measured).toContain(`required size: ${(await stat(image)).size}\n`);
      const words =
        /^Dirty bitmap 'daily' not found: the server of 'nbd.*' has no meta context 'qemu:dirty-bitmap:daily'/;
      const args = [...compressed, '-f', 'raw', '--bitmap', 'daily', server.uri(), path('no.qcow2')];
      await expectFailure(path(''), args, words);
    });
    await whileQemuNbd(socket, ['-r', '-e', '8', '-f', 'raw', disk], async (server) => {
      await cliOk([...compressed, '-f', 'qcow2', '--bitmap', 'fine', server.uri(), image]);
      expect(await same()).toBe(true);
    });
  });

  test('a part of an export has its part of the bitmap', async () => {
    const parent = path('part.qcow2');
    await create(parent, 10 * MIB);
    await whileQemuNbd(socket, ['-r', '-e', '8', '-f', 'qcow2', '-B', 'daily', disk], async () => {
      const part = `driver=raw,offset=2M,size=10M,file.driver=nbd,file.server.type=unix,file.server.path=${socket}`;
      const base = ['-B', parent, '-F', 'qcow2'];
      await cliOk(['convert', '-c', '--image-opts', '--verify', '--bitmap', 'daily', ...base, part, image]);
    });
    const inPart = listed('daily', 64 * KIB).map((at) => at - 2 * MIB);
    expect(await storedClusters(image, 64 * KIB)).toEqual(inPart.filter((at) => at >= 0 && at < 10 * MIB));
  });

  test.each<[string, (request: NbdRequest) => Buffer | undefined]>([
    ['nothing', () => undefined],
    ['an error', (request) => (request.type === BLOCK_STATUS ? errorChunk(request, 5) : undefined)],
  ])('all is stored if the server tells %s of the bitmap that it has', async (_, answer) => {
    const parent = path('empty.qcow2');
    await create(parent, MIB);
    const script = { size: MIB, context: 'qemu:dirty-bitmap:daily', answer };
    await using server = await scriptedServer(path('scripted.socket'), script);
    const base = ['-B', parent, '-F', 'qcow2'];
    await cliOk(['convert', '-c', '-f', 'raw', '--bitmap', 'daily', ...base, server.uri, image]);
    expect(await storedClusters(image, 64 * KIB)).toHaveLength(16);
  });

  test('without a bitmap the whole disk is compared', async () => {
    await whileQemuNbd(socket, ['-r', '-e', '8', '-f', 'qcow2', disk], async (server) => {
      await cliOk([...compressed, '-f', 'raw', server.uri(), image]);
    });
    expect(await compare(disk, image)).toBe('Images are identical.\n');
    expect(await storedClusters(image, 64 * KIB)).toEqual(listed('fine', 64 * KIB));
  });
});

test('measure -c computes the size of the image', async () => {
  await cliOk(['convert', '-c', '-f', 'qcow2', '--bitmap', 'daily', ...over, disk, image]);
  const options = ['-o', `backing_file=${full},backing_fmt=qcow2`];
  const args = ['measure', '-c', '-f', 'qcow2', '--bitmap', 'daily', ...options];
  expect(await cliOk([...args, disk])).toContain(`required size: ${(await stat(image)).size}\n`);
  expect(await cliOk([...args, '--sample', '100', disk])).toContain(
    `required size: ${(await stat(image)).size} `,
  );
  await expectFailure(path(''), ['measure', '--bitmap', 'daily', disk], /--bitmap requires -c/);
  await expectFailure(
    path(''),
    ['measure', '--compare-with-backing', disk],
    /--compare-with-backing requires -c/,
  );
});

describe('refused before anything is made:', () => {
  const convert = (...args: string[]) => [
    'convert',
    '-c',
    '-f',
    'qcow2',
    '--bitmap',
    ...args,
    path('no.qcow2'),
  ];
  const inUse = path('in-use.qcow2');
  const stale = path('stale.qcow2');
  const raw = path('disk.raw');
  const large = path('large.qcow2');

  beforeAll(async () => {
    const bytes = await readFile(disk);
    const extension = bytes.indexOf('23852875', 0, 'hex');
    const entry = bytes.indexOf('daily', Number(bytes.readBigUInt64BE(extension + 24))) - 24;
    bytes.writeUInt32BE(bytes.readUInt32BE(entry + 12) | 1, entry + 12);
    await writeFile(inUse, bytes);
    const modified = await readFile(disk);
    modified.writeBigUInt64BE(0n, 88);
    await writeFile(stale, modified);
    await writeFile(raw, Buffer.alloc(MIB));
    await create(large, DISK + 512);
  });

  test.each<[string, string[], RegExp]>([
    [
      'a bitmap that is not there',
      convert('nightly', ...over, disk),
      /^Dirty bitmap 'nightly' not found: '.*disk.qcow2' has '(\w+)', '(\w+)', '(\w+)', '(\w+)'$/,
    ],
    [
      'a bitmap that was not saved',
      convert('daily', ...over, inUse),
      /^The bitmap 'daily' of '.*' is inconsistent and may lack changes: it was not saved .*; make a full backup, and start a new bitmap with it$/,
    ],
    [
      'bitmaps that a program did not know of',
      convert('daily', ...over, stale),
      /^The bitmap 'daily' of '.*' is inconsistent and may lack changes: a program without bitmap support/,
    ],
    [
      'an image without bitmaps',
      convert('daily', ...over, full),
      /^Dirty bitmap 'daily' not found: '.*' has none$/,
    ],
    [
      'a backing file larger than the disk',
      convert('daily', '-B', large, '-F', 'qcow2', disk),
      /^The backing file '.*large.qcow2' has 12583936 bytes, more than the 12583424 of '.*disk.qcow2': .*; make a full backup$/,
    ],
    [
      'a backing file that is missing',
      convert('daily', '-B', path('none.qcow2'), '-F', 'qcow2', disk),
      /^Could not open the backing file of the target/,
    ],
    [
      'a raw disk',
      ['convert', '-c', '-f', 'raw', '--bitmap', 'daily', ...over, raw, path('no.qcow2')],
      /^Source lacks bitmap support: '.*disk.raw' is a raw disk$/,
    ],
  ])('%s', async (_, args, line) => {
    await expectFailure(path(''), args, line);
  });
});
