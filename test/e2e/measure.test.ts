/** `measure` compared with qemu-img for every image of the generator, and with -c compared with convert. */
import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { copyFile, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { convertHere } from '../convert/built-worker.js';
import { randomBytes, records, text } from '../engines/samples.js';
import { measureHere, ourMeasure, theirMeasure } from '../measure/run-measure.js';
import { withoutOwnWarnings } from '../oracle/own-warnings.js';
import { runOk } from '../oracle/run.js';
import { longTest, sample, shortened } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { copyImages, filesOf, type GeneratedImage, listImages, sampleImages } from './generated-images.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const images = sampleImages().map((image, index) => ({ ...image, index }));
const refusedImages = listImages().filter(({ refused }) => refused);
const home = process.cwd();
beforeAll(() => copyImages(path('images'), filesOf([...images, ...refusedImages])), 120_000);
afterAll(() => process.chdir(home));

/** Both look for relative names of data files in the working directory. */
function enter(file: string): string {
  process.chdir(dirname(path('images', file)));
  return basename(file);
}

/** The format is stated: a qcow2 image that names other files is refused without. */
function stated({ args }: GeneratedImage): readonly string[] {
  return args.includes('-f') ? args : ['-f', 'qcow2', ...args];
}

/** Options of the target. Each image is measured with another one, and every third image with the first one too. */
const TARGETS: readonly (readonly string[])[] = [
  ['-O', 'qcow2'],
  ['-O', 'qcow2', '-o', 'cluster_size=512'],
  ['-O', 'qcow2', '-o', 'cluster_size=2M,refcount_bits=64'],
  ['-O', 'qcow2', '-o', 'cluster_size=16k,extended_l2=on'],
  ['-O', 'qcow2', '-o', 'compat=0.10,cluster_size=4k'],
  ['-O', 'qcow2', '-o', 'preallocation=falloc'],
  ['-O', 'qcow2', '-o', 'preallocation=metadata,cluster_size=1k,refcount_bits=1'],
  ['-O', 'qcow2', '-o', 'backing_file=none,backing_fmt=raw,lazy_refcounts=on'],
  ['-O', 'qcow2', '-o', 'data_file=x,data_file_raw=on,compression_type=zstd,size=1G'],
  ['-O', 'raw', '-o', 'preallocation=full'],
  [],
];

function targetOf(index: number): readonly string[] {
  return TARGETS[index % TARGETS.length]!;
}

async function both(args: readonly string[]) {
  const [ours, theirs] = await Promise.all([ourMeasure(args), theirMeasure(args)]);
  return { ours, theirs };
}

/**
 * Preallocated blocks that were read count as data until they leave memory (lseek with SEEK_HOLE), so each program can
 * see the other's reads.
 */
function evict(directory: string): void {
  for (const file of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    if (!file.isFile()) continue;
    const name = `of=${file.parentPath}/${file.name}`;
    execFileSync('dd', [name, 'oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none']);
  }
}

describe('prints what qemu-img prints', () => {
  test.each(images.filter(({ refused }) => !refused))('$name', async (image) => {
    const file = enter(image.file);
    const { index } = image;
    for (const target of index % 3 === 0 ? [TARGETS[0]!, targetOf(index)] : [targetOf(index)]) {
      const args = [...stated(image), ...target, `--output=${index % 2 ? 'json' : 'human'}`, file];
      let { ours, theirs } = await both(args);
      if (ours.stdout !== theirs.stdout) {
        evict('.');
        theirs = await theirMeasure(args);
        evict('.');
        ours = await ourMeasure(args);
      }
      expect([args, ours.status, ours.stdout]).toEqual([args, theirs.status, theirs.stdout]);
      expect(withoutOwnWarnings(ours.stderr) === '').toBe(theirs.stderr === '');
    }
  });

  const SIZES = [
    '0',
    '1',
    '511',
    '64k',
    '65537',
    '1G',
    '1.5G',
    '33554433',
    '9000000000000001',
    '3P',
    '1E',
    '2E',
  ];
  /** Each size with three of the targets, and so each target with three of the sizes or more. */
  const sized = SIZES.map((size, nth) => [size, [0, 4, 7].map((step) => targetOf(nth + step))] as const);
  test.each(shortened(sized, 5))('for a disk of %s without content', async (size, targets) => {
    for (const target of targets) {
      const { ours, theirs } = await both([...target, '--size', size, '--output=json']);
      expect([target, ours.status, ours.stdout]).toEqual([target, theirs.status, theirs.stdout]);
      expect(ours.stderr.replace('qcow2c', 'qemu-img')).toBe(theirs.stderr);
    }
  });

  test.each([
    'compat=0.10,refcount_bits=1',
    'cluster_size=3k',
    'cluster_size=4M',
    'refcount_bits=3',
    'refcount_bits=0',
  ])('for -o %s, which cannot be', async (options) => {
    const { ours, theirs } = await both(['-O', 'qcow2', '-o', options, '--size', '1G']);
    expect(ours.status).toBe(theirs.status);
    // The error names the option under its own name.
    expect(ours.stderr.replace('version=v3', 'compat=1.1')).toBe(theirs.stderr.replace('qemu-img', 'qcow2c'));
  });
});

test.each(refusedImages)('measures nothing that is refused: $name', async (image) => {
  const file = enter(image.file);
  const ours = await ourMeasure([...image.args, '-c', file]);
  expect(ours).toMatchObject({ status: 1, stdout: '' });
  expect(ours.stderr).toMatch(/^qcow2c: /);
});

/** Options of a compressed image; each is tried on several images. */
const COMPRESSED: readonly string[] = [
  'cluster_size=64k',
  'cluster_size=512',
  'cluster_size=4k,refcount_bits=1',
  'cluster_size=2M',
  'compression_type=zstd',
  'cluster_size=16k,extended_l2=on',
  'cluster_size=1M,compression_type=zstd,compression_level=1',
  'compat=0.10,cluster_size=32k',
  'compression_level=2,lazy_refcounts=on',
  'backing_file=backing,backing_fmt=raw',
  'compression_window_bits=12,cluster_size=128k,refcount_bits=64',
  'backing_file=backing,backing_fmt=raw,compat=0.10,cluster_size=8k',
];

/** The size of the file that convert makes with the same words. */
async function convertedSize(args: readonly string[], file: string): Promise<number> {
  const request = parseCommandLine(['convert', '-c', '-O', 'qcow2', '-m', '1', ...args, file, 'converted']);
  if (request.kind !== 'convert') throw new Error(args.join(' '));
  await convertHere(request.options);
  const { size } = await stat('converted');
  await rm('converted');
  return size;
}

async function expectExactSize(args: readonly string[], file: string): Promise<void> {
  const printed = await ourMeasure(['-c', '-m', '1', '--output=json', ...args, file]);
  expect([printed.status, withoutOwnWarnings(printed.stderr)]).toEqual([0, '']);
  const found = JSON.parse(printed.stdout) as Record<string, number>;
  expect([args, found['required'], found['compressed']]).toEqual([
    args,
    await convertedSize(args, file),
    true,
  ]);
}

describe('with -c is the size of the file that convert -c makes', () => {
  const readable = images.filter(({ kinds, refused }) => !refused && !kinds.includes('beyond-raw'));
  const tested = sample(readable, 6, COMPRESSED.length).slice(0, 48);
  test.each(tested.map((image, nth) => ({ ...image, options: COMPRESSED[nth % COMPRESSED.length]! })))(
    '$name, $options',
    async (image) => {
      const file = enter(image.file);
      if (image.options.includes('backing_file')) await copyFile(path('backing'), 'backing');
      await expectExactSize([...stated(image), '-o', image.options], file);
    },
  );

  test.each(sample(COMPRESSED, 4, 6))('of a raw disk, %s', async (options) => {
    process.chdir(path());
    await expectExactSize(['-o', options], 'disk');
  });

  test('over a backing file that the source has too', async () => {
    process.chdir(path());
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', 'backing', '-F', 'raw', 'overlay']);
    await runOk('qemu-io', ['-f', 'qcow2', '-c', 'write -P 3 100k 300k', '-c', 'write -z 1M 64k', 'overlay']);
    for (const options of ['backing_file=backing,backing_fmt=raw', 'cluster_size=4k']) {
      await expectExactSize(['-f', 'qcow2', '-o', options], 'overlay');
    }
  });
});

/** Text, tables, incompressible data and zeros, in turns of unequal length; ends inside a cluster. */
function disk(turns: number): Buffer {
  const kinds = [text, records, randomBytes, (length: number) => new Uint8Array(length)];
  const parts = Array.from({ length: turns }, (_, turn) =>
    kinds[(turn * 7 + (turn >> 3)) % kinds.length]!(((turn * 37) % 11) * 32768 + 40000, turn + 1),
  );
  return Buffer.concat([...parts, new Uint8Array(1536)]);
}

beforeAll(async () => {
  const bytes = disk(22);
  await writeFile(path('disk'), bytes);
  // Half of it is what the disk holds.
  await writeFile(path('backing'), Buffer.concat([bytes.subarray(0, 2 << 20), randomBytes(1 << 20)]));
});

describe('a sample', () => {
  test('of everything gives the exact size and no margin', async () => {
    process.chdir(path());
    for (const options of sample(COMPRESSED, 2)) {
      const args = ['-c', '-o', options, '--output=json'];
      const [exact, sampled] = [
        await ourMeasure([...args, 'disk']),
        await ourMeasure([...args, '--sample', '100', 'disk']),
      ];
      const { margin, confidence, ...found } = JSON.parse(sampled.stdout);
      expect({ options, margin, confidence }).toEqual({ options, margin: 0, confidence: 95 });
      expect(found['sampled-bytes']).toBe(found['data-bytes']);
      expect(found).toMatchObject(JSON.parse(exact.stdout));
    }
  });

  longTest('of half of it is not off by more than its margin', async () => {
    // Of fewer clusters every one is in the sample.
    const source = path('large disk');
    await writeFile(source, disk(60));
    const create = { clusterSize: 16384 };
    const { required } = await measureHere({ source, compress: true, create });
    for (let seed = 0; seed < 3; seed += 1) {
      const { required: found, estimate } = await measureHere(
        { source, compress: true, create, sample: 50 },
        seed,
      );
      expect(estimate!.sampledBytes).toBeLessThan(0.52 * estimate!.dataBytes);
      expect(Math.abs(found - required)).toBeLessThanOrEqual(estimate!.margin);
    }
  });

  test('is the same for any number of threads', async () => {
    process.chdir(path());
    const args = ['-c', '-o', 'cluster_size=4k', '--sample', '40', 'disk'];
    const [one, three] = ['1', '3'].map((threads) => ourMeasure(['-m', threads, ...args]));
    expect(await three).toEqual(await one);
    expect((await one)!.stdout).toMatch(
      /^required size: \d+ \(estimated from [\d.]+% of the data, \+- \d+ bytes at 95% confidence\)\n/,
    );
  });

  test('reports the offset of a broken payload', async () => {
    process.chdir(path());
    await runOk('qemu-img', ['convert', '-c', '-O', 'qcow2', 'disk', 'broken']);
    const whole = await ourMeasure(['-c', '-o', 'cluster_size=4k', '-f', 'qcow2', 'broken']);
    expect(whole.status).toBe(0);
    // After the header and the tables, where payloads are.
    await runOk('qemu-io', ['-f', 'raw', '-c', 'write -P 0xff 330k 60k', 'broken']);
    const args = ['-c', '-o', 'cluster_size=4k', '-f', 'qcow2', 'broken'];
    const [exact, sampled] = [await ourMeasure(args), await ourMeasure(['--sample', '100', ...args])];
    expect(exact.stderr).toMatch(/^qcow2c: Compressed cluster at guest offset \d+ cannot be read/);
    expect(sampled).toEqual(exact);
  });
});

describe('the program', () => {
  test('measures, and writes no file', async () => {
    const before = readdirSync(path());
    const size = (await cliOk(['measure', '-c', 'disk'], { cwd: path() })).split('\n')[0];
    expect(readdirSync(path())).toEqual(before);
    await cliOk(['convert', '-c', 'disk', 'made.qcow2'], { cwd: path() });
    expect(size).toBe(`required size: ${(await stat(path('made.qcow2'))).size}`);
  });

  test('measures a stream on standard input', async () => {
    const outcome = await cli(['measure', '-c', '--output=json', '-'], {
      cwd: path(),
      stdin: 'x'.repeat(3_000_000),
    });
    expect(outcome).toMatchObject({ status: 0, stderr: '' });
    await writeFile(path('x'), 'x'.repeat(3_000_000));
    expect(outcome.stdout).toBe(await cliOk(['measure', '-c', '--output=json', 'x'], { cwd: path() }));
  });

  test.each([
    [['disk'], 0],
    [['--size', '1G', '-O', 'qcow2'], 0],
    [[], 1],
    [['missing'], 1],
    [['-O', 'qcow2', '-o', 'cluster_size=1', 'disk'], 1],
    [['-l', 'x', 'disk'], 1],
  ])('exits as qemu-img does: %s', async (args, status) => {
    const ours = await cli(['measure', ...args], { cwd: path() });
    process.chdir(path());
    const theirs = await theirMeasure(args);
    expect([ours.status, theirs.status, ours.stdout]).toEqual([status, status, theirs.stdout]);
  });
});
