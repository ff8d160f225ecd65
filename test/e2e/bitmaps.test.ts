/** --bitmaps: the persistent dirty bitmaps of the source go into the target as qemu-img copies them. */
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';
import { type DecodedBitmap, decodeImage } from '../qcow2/image-decoder.js';
import { shortened } from '../stage.js';
import { convertWithBoth, expectBothRefuse, expectSameGuest } from './beside-qemu-img.js';
import { cli } from './cli.js';
import { expectFailure } from './failures.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const source = path('source.qcow2');
/** The second bitmap can no longer be trusted. */
const inconsistent = path('inconsistent.qcow2');
/** The names in the image with all of them. */
const stale = path('stale.qcow2');
const MIB = 1024 * 1024;
const DISK = 20 * MIB + 512;

async function bitmap(image: string, ...args: string[]): Promise<void> {
  await runOk('qemu-img', ['bitmap', '-f', 'qcow2', ...args.slice(1), image, args[0]!]);
}

beforeAll(async () => {
  await create(source, DISK);
  await bitmap(source, 'daily', '--add', '-g', '64k');
  await bitmap(source, 'fine', '--add', '-g', '512');
  await bitmap(source, 'ünï, =x', '--add', '-g', '1M');
  await bitmap(source, 'untouched', '--add', '--disable');
  await qemuIo(source, [
    'write -q -P 1 0 70k',
    'write -q -P 2 5M 512',
    'write -q -P 3 9M 1M',
    'write -q 20M 512',
  ]);
  await bitmap(source, 'fine', '--disable');
  await qemuIo(source, ['write -q -P 4 3M 1k']);

  const bytes = await readFile(source);
  const entry = directoryEntry(bytes, 'fine');
  bytes.writeUInt32BE(bytes.readUInt32BE(entry + 12) | 1, entry + 12);
  await writeFile(inconsistent, bytes);
  const modified = await readFile(source);
  modified.writeBigUInt64BE(0n, 88);
  await writeFile(stale, modified);
});

/** Where the entry of a bitmap begins in the directory that the bitmaps extension (type 0x23852875) leads to. */
function directoryEntry(bytes: Buffer, name: string): number {
  const extension = bytes.indexOf('23852875', 0, 'hex');
  return bytes.indexOf(name, Number(bytes.readBigUInt64BE(extension + 24))) - 24;
}

/** The bitmaps in the output of `qemu-img info`. */
async function reported(image: string): Promise<unknown> {
  const output = await runOk('qemu-img', ['info', '-f', 'qcow2', '--output=json', image]);
  return JSON.parse(output)['format-specific'].data.bitmaps;
}

/**
 * The bitmaps from the bytes of their tables, one bit for each granule of the disk, without the padding of the last
 * cluster.
 */
async function decoded(image: string): Promise<(Omit<DecodedBitmap, 'bits'> & { readonly bits: string })[]> {
  return decodeImage(await readFile(image)).bitmaps.map(({ bits, ...bitmap }) => {
    const granules = Math.ceil(DISK / 2 ** bitmap.granularityBits);
    expect(bits.subarray(Math.ceil(granules / 8)).every((byte) => byte === 0)).toBe(true);
    return { ...bitmap, bits: bits.subarray(0, Math.ceil(granules / 8)).toString('hex') };
  });
}

test.each(
  shortened<[string[]]>(
    [
      [['-c', '-o', 'cluster_size=512']],
      [['-o', 'cluster_size=4k']],
      [['-o', 'cluster_size=2M']],
      [['-o', 'preallocation=metadata']],
      [['-o', 'extended_l2=on,refcount_bits=64']],
    ],
    3,
  ),
)(
  'names, granularities, flags and bits are the source’s and those of qemu-img’s copy, with %j',
  async (flags) => {
    const args = ['--bitmaps', '-f', 'qcow2', '-O', 'qcow2', ...flags];
    const both = await convertWithBoth(args, [source], path('copy'));
    await expectSameGuest(both, 'qcow2');
    expect(await reported(both.ours)).toEqual(await reported(source));
    expect(await reported(both.ours)).toEqual(await reported(both.theirs));
    const ours = await decoded(both.ours);
    expect(ours.map(({ name, auto }) => [name, auto])).toEqual([
      ['daily', true],
      ['fine', false],
      ['ünï, =x', true],
      ['untouched', false],
    ]);
    expect(ours).toEqual(await decoded(source));
    expect(ours).toEqual(await decoded(both.theirs));
  },
);

test('QEMU continues to write to the bitmaps', async () => {
  const { ours, theirs } = await convertWithBoth(
    ['--bitmaps', '-c', '-f', 'qcow2', '-O', 'qcow2'],
    [source],
    path('used'),
  );
  for (const image of [ours, theirs]) await qemuIo(image, ['write -q -P 5 12M 64k', 'write -q -P 6 1M 1k']);
  expect(await decoded(ours)).toEqual(await decoded(theirs));
});

test('without --bitmaps there are none', async () => {
  const both = await convertWithBoth(['-f', 'qcow2', '-O', 'qcow2'], [source], path('without'));
  expect([await reported(both.ours), await reported(both.theirs)]).toEqual([undefined, undefined]);
});

test('a source that could have bitmaps and has none is no error', async () => {
  const empty = path('empty.qcow2');
  await create(empty, DISK);
  const both = await convertWithBoth(['--bitmaps', '-f', 'qcow2', '-O', 'qcow2'], [empty], path('none'));
  expect(await reported(both.ours)).toBeUndefined();
});

test('an existing target of the same size takes them, a larger one is refused', async () => {
  const existing = path('existing.qcow2');
  await create(existing, DISK, ['-o', 'cluster_size=4k']);
  const args = ['--bitmaps', '-n', '-f', 'qcow2', '-O', 'qcow2'];
  const { ours, theirs } = await convertWithBoth(args, [source], path('kept'), { existing });
  expect(await decoded(ours)).toEqual(await decoded(theirs));

  const larger = path('larger.qcow2');
  await create(larger, DISK + MIB);
  const words = new RegExp(
    `Failed to populate bitmap .*: Bitmaps are of different sizes \\(destination size is ${DISK + MIB}, ` +
      `source size is ${DISK}\\) and can't be merged`,
  );
  await expectFailure(path(''), ['convert', ...args, source, larger], words);
  await expect(runOk('qemu-img', ['convert', ...args, source, larger])).rejects.toThrow(words);
});

describe('bitmaps that cannot be trusted', () => {
  const args = ['-f', 'qcow2', '-O', 'qcow2'];

  test('are refused, in the words of qemu-img', () =>
    expectBothRefuse(
      ['--bitmaps', ...args, inconsistent],
      path('no.qcow2'),
      /Cannot copy inconsistent bitmap 'fine'/,
    ));

  test.each([[[]], [['-q']]])('are skipped on request, with a warning, with %j', async (flags) => {
    const target = path('skipped.qcow2');
    const convert = [
      'convert',
      ...flags,
      '--bitmaps',
      '--skip-broken-bitmaps',
      ...args,
      inconsistent,
      target,
    ];
    const theirs = await run('qemu-img', convert);
    const expected = [await reported(target), await decoded(target)];
    expect(await cli(convert)).toEqual({
      status: 0,
      signal: null,
      stdout: '',
      stderr: theirs.stderr.replace('qemu-img: ', 'qcow2c: '),
    });
    expect([await reported(target), await decoded(target)]).toEqual(expected);
    expect((await decoded(target)).map(({ name }) => name)).toEqual(['daily', 'ünï, =x', 'untouched']);
  });

  test('because a program did not know of them are not copied, with a warning', async () => {
    const target = path('stale-copy.qcow2');
    for (const flags of [['--bitmaps'], ['--bitmaps', '--skip-broken-bitmaps', '-q']]) {
      const convert = ['convert', ...flags, ...args, stale, target];
      const theirs = await run('qemu-img', convert);
      expect([theirs.status, theirs.stderr]).toEqual([0, expect.stringContaining('considered inconsistent')]);
      expect(await reported(target)).toBeUndefined();
      const { status, stderr } = await cli(convert);
      expect([status, stderr]).toEqual([
        0,
        expect.stringMatching(/^qcow2c: warning: .*'.*stale\.qcow2'.* considered inconsistent.*\n$/),
      ]);
      expect(await reported(target)).toBeUndefined();
    }
    expect(await cli(['convert', ...args, stale, target])).toMatchObject({ status: 0, stderr: '' });
  });
});

describe('a target that cannot have bitmaps is refused in the words of qemu-img', () => {
  test.each<[string, string[], RegExp]>([
    ['a raw target', ['-f', 'qcow2', '-O', 'raw', source], /Format driver 'raw' does not support bitmaps/],
    [
      'a target of version 2',
      ['-f', 'qcow2', '-O', 'qcow2', '-o', 'compat=0.10', source],
      /Format driver 'qcow2' does not support bitmaps/,
    ],
    [
      'several sources',
      ['-f', 'qcow2', '-O', 'qcow2', source, source],
      /Copying bitmaps only possible with single source/,
    ],
    ['a raw source', ['-f', 'raw', '-O', 'qcow2', source], /Source lacks bitmap support/],
  ])('%s', async (_, args, words) => expectBothRefuse(['--bitmaps', ...args], path('no.qcow2'), words));

  test('a source of version 2', async () => {
    const old = path('old.qcow2');
    await create(old, DISK, ['-o', 'compat=0.10']);
    const args = ['--bitmaps', '-f', 'qcow2', '-O', 'qcow2', old];
    await expectBothRefuse(args, path('no.qcow2'), /Source lacks bitmap support/);
    const { stderr } = await cli(['convert', ...args, path('no.qcow2')]);
    expect(stderr).toContain(`: '${old}' is a qcow2 image of version 2`);
  });

  test('--skip-broken-bitmaps alone', async () => {
    const words = /Use of --skip-broken-bitmaps requires --bitmaps/;
    await expectBothRefuse(['--skip-broken-bitmaps', '-O', 'qcow2', source], path('no.qcow2'), words);
  });
});

test('a damaged directory of bitmaps is an error only where bitmaps are asked for', async () => {
  const damaged = path('damaged.qcow2');
  await copyFile(source, damaged);
  const bytes = await readFile(damaged);
  bytes.writeUInt8(99, directoryEntry(bytes, 'fine') + 17);
  await writeFile(damaged, bytes);
  const args = ['-f', 'qcow2', '-O', 'qcow2', damaged, path('damaged-copy.qcow2')];
  await expectFailure(path(''), ['convert', '--bitmaps', ...args], /'.*damaged\.qcow2'/);
  expect(await cli(['convert', ...args])).toMatchObject({ status: 0, stderr: '' });
});
