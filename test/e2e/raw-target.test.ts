/** Raw disks: the holes of qemu-img's, and existing files written over. */
import { copyFile, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { sample, shortened } from '../stage.js';
import { convertWithBoth, expectBothRefuse, expectSameRanges, rangesOf } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { useScratch } from './scratch.js';
import { makeHoles, patchworkBytes } from './source-images.js';

const path = useScratch();
const KIB = 1024;
/** The disk ends inside a block and begins with zeros; a new raw disk never has its first block as a hole. */
const DISK = 3000 * KIB + 512;
const bytes = Buffer.concat([Buffer.alloc(100 * KIB), patchworkBytes(DISK - 100 * KIB)]);
const full = path('full.raw');
const sparse = path('sparse.raw');
const plain = path('plain.qcow2');
const compressed = path('compressed.qcow2');

beforeAll(async () => {
  await writeFile(full, bytes);
  await makeHoles(sparse, bytes);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', full, path('preallocated.qcow2')]);
  // Blocks that are preallocated, not written, count as holes until the other program has read them.
  await runOk('cp', ['--sparse=always', path('preallocated.qcow2'), plain]);
  await runOk('qemu-img', [
    'convert',
    '-f',
    'raw',
    '-O',
    'qcow2',
    '-c',
    '-o',
    'cluster_size=4k',
    full,
    compressed,
  ]);
});

const SOURCES = [
  ['a raw source that is full', 'raw', full],
  ['a raw source with holes', 'raw', sparse],
  ['a plain qcow2 source', 'qcow2', plain],
  ['a compressed qcow2 source', 'qcow2', compressed],
] as const;
const PAIRS = ['0', '4k', '8k', '64k'].flatMap((size) => SOURCES.map((source) => [size, ...source] as const));

// Four of them are each size and each source once.
test.each(sample(PAIRS, 4))(
  '-S %s leaves the ranges that qemu-img leaves of %s',
  async (sparseSize, _, format, source) => {
    const args = ['-f', format, '-O', 'raw', '-S', sparseSize];
    const both = await convertWithBoth(args, [source], path('new'));
    await expectSameRanges(both, 'raw');
    expect((await readFile(both.ours)).equals(bytes)).toBe(true);
  },
);

test('-S 12k leaves out zeros as qemu-img does: found in pieces of 8 KiB, and dropped from 12 KiB on', async () => {
  for (const format of ['raw', 'qcow2'] as const) {
    const args = [
      '-f',
      'raw',
      '-O',
      format,
      '-o',
      format === 'raw' ? 'preallocation=off' : 'cluster_size=4k',
    ];
    await expectSameRanges(await convertWithBoth([...args, '-S', '12k'], [full], path('new')), format);
  }
});

test('-O raw is the default for a name without a known ending, and several sources are joined', async () => {
  const both = await convertWithBoth(['-f', 'raw'], [full, sparse], path('joined'));
  await expectSameRanges(both, 'raw');
});

test.each(shortened([1, 4097, 0], 2))('a disk of %d bytes of zeros', async (size) => {
  const source = path('zeros.raw');
  await writeFile(source, Buffer.alloc(size));
  const both = await convertWithBoth(['-f', 'raw', '-O', 'raw'], [source], path('zeros'));
  await expectSameRanges(both, 'raw');
  expect((await stat(both.ours)).size).toBe(Math.ceil(size / 512) * 512);
});

describe('-n writes over the existing file', () => {
  const existing = path('existing');

  test.each([
    ['larger by part of a block, -S 0', 512, ['-S', '0']],
    ['much larger', 1000 * KIB, []],
  ])('that is %s: bytes after the disk stay', async (_, more, flags) => {
    await writeFile(existing, Buffer.alloc(DISK + more, 0xaa));
    const args = ['-n', ...flags, '-f', 'qcow2', '-O', 'raw'];
    const { ours, theirs } = await convertWithBoth(args, [compressed], path('over'), { existing });
    const expected = Buffer.concat([bytes, Buffer.alloc(more, 0xaa)]);
    expect((await readFile(ours)).equals(expected)).toBe(true);
    expect((await readFile(theirs)).equals(expected)).toBe(true);
  });

  test('that is as large, and keeps its inode', async () => {
    const target = path('kept.raw');
    await writeFile(target, Buffer.alloc(DISK, 0xaa));
    const { ino } = await stat(target);
    await cliOk(['convert', '-n', '-f', 'raw', '-O', 'raw', full, target]);
    expect((await stat(target)).ino).toBe(ino);
    expect((await readFile(target)).equals(bytes)).toBe(true);
  });

  test('with --target-is-zero only data is written, as by qemu-img', async () => {
    await writeFile(existing, '');
    await truncate(existing, DISK + 1000 * KIB);
    const args = ['-n', '--target-is-zero', '-S', '64k', '-f', 'raw', '-O', 'raw'];
    await expectSameRanges(await convertWithBoth(args, [full], path('zero'), { existing }), 'raw');
  });

  test('--target-is-zero is taken at its word', async () => {
    await writeFile(existing, Buffer.alloc(DISK, 0xaa));
    const args = ['-n', '--target-is-zero', '-f', 'raw', '-O', 'raw'];
    const { ours, theirs } = await convertWithBoth(args, [sparse], path('not-zero'), { existing });
    expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true);
  });

  test('a file that is too small, and a missing one, are refused', async () => {
    const small = path('small.raw');
    await truncate(await copied(full, small), DISK - 512);
    const args = ['-n', '-f', 'raw', '-O', 'raw'];
    const words = /output file is smaller than input file/;
    await expectFailure(path(''), ['convert', ...args, full, small], words);
    await expect(runOk('qemu-img', ['convert', ...args, full, small])).rejects.toThrow(words);
    await expectBothRefuse([...args, full], path('missing.raw'), /No such file or directory/);
  });

  test('a file that ends inside the disk’s last sector is large enough, as for qemu-img', async () => {
    await truncate(await copied(full, existing), DISK - 100);
    const { ours, theirs } = await convertWithBoth(['-n', '-f', 'raw', '-O', 'raw'], [full], path('odd'), {
      existing,
    });
    expect((await readFile(ours)).equals(bytes)).toBe(true);
    expect((await readFile(theirs)).equals(bytes)).toBe(true);
  });
});

test('--target-is-zero without -n, and a raw disk that is to be compressed, are refused', async () => {
  const target = path('none.raw');
  await expectBothRefuse(
    ['--target-is-zero', '-O', 'raw', full],
    target,
    /--target-is-zero requires use of -n flag/,
  );
  await expectBothRefuse(['-c', '-O', 'raw', full], target, /Compression not supported for this file format/);
  await expectBothRefuse(
    ['-B', full, '-F', 'raw', '-O', 'raw', full],
    target,
    /Backing file not supported for file format 'raw'/,
  );
});

test('a new file takes the place of an old one only when it is whole', async () => {
  const target = path('replaced.raw');
  await writeFile(target, Buffer.alloc(2 * DISK, 0xaa));
  await cliOk(['convert', '-f', 'raw', '-O', 'raw', sparse, target]);
  expect(await rangesOf(target, 'raw')).toEqual(
    await rangesOf(sparse, 'raw').then(([first, ...rest]) => [
      { ...first, zero: false, data: true },
      { ...first, start: 4096 },
      ...rest,
    ]),
  );
  expect((await readFile(target)).equals(bytes)).toBe(true);
});

async function copied(from: string, to: string): Promise<string> {
  await copyFile(from, to);
  return to;
}
