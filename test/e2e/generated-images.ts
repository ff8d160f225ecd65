/**
 * Images of every kind, made by fixtures/make-images.js, and the expected result of each: the same disk, compressed
 * with zlib or zstd, plain or raw.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, inject } from 'vitest';
import { l2Census } from '../oracle/l2-census.js';
import { withoutOwnWarnings } from '../oracle/own-warnings.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { run, runOk } from '../oracle/run.js';
import { sample, TESTS_ALL } from '../stage.js';
import { cli } from './cli.js';

const MAKE_IMAGES = fileURLToPath(new URL('../../fixtures/make-images.js', import.meta.url));

/** One way to read one image, as the manifest has it. */
export interface GeneratedImage {
  readonly name: string;
  /** Relative to the directory of the manifest. Several ways may share a file. */
  readonly file: string;
  /** Options that qcow2c and qemu-img need: -f qcow2 for an image that names other files, -l. */
  readonly args: readonly string[];
  readonly kinds: readonly string[];
  /** For -o of a qcow2 target, or empty. */
  readonly targetOptions: string;
  /** Nothing may be made of it. */
  readonly refused: boolean;
}

let everyImage: readonly GeneratedImage[] | undefined;

/** The images whose names match `only`, without making them. */
export function listImages(only = ''): readonly GeneratedImage[] {
  everyImage ??= JSON.parse(execFileSync(process.execPath, [MAKE_IMAGES, '--list'], { encoding: 'utf8' }));
  return everyImage!.filter(({ name }) => new RegExp(only).test(name));
}

/**
 * Those of them that are tested: see test/stage.ts. All test files take the same, because most of the time goes into
 * making them.
 */
export function sampleImages(only = ''): readonly GeneratedImage[] {
  const files = new Set(sample([...new Set(listImages().map(({ file }) => file))], 12, 18));
  return listImages(only).filter(({ file }) => files.has(file));
}

/** Makes these files. */
export async function generateImages(directory: string, files: readonly string[]): Promise<void> {
  await runOk(process.execPath, [MAKE_IMAGES, directory, ...files]);
}

/**
 * Copies these files, and with them all that others have asked for. Each is made once in a run of the tests, and other
 * callers wait for it.
 */
export async function copyImages(directory: string, files: Iterable<string>): Promise<void> {
  const made = join(inject('scratch'), 'generated-images');
  await mkdir(directory, { recursive: true });
  // Some images name others by their absolute paths: they are made where they stay.
  const script = 'to=$1; shift; "$@" && cp -a --reflink=auto "$3/." "$to"';
  const words = [directory, process.execPath, MAKE_IMAGES, made, ...new Set(files)];
  await runOk('flock', [`${made}.lock`, 'sh', '-c', script, 'sh', ...words]);
}

/** The file of each image. */
export const filesOf = (images: readonly GeneratedImage[]): string[] => images.map(({ file }) => file);

/** The kinds that show in the L2 tables. */
const IN_L2_TABLES = [
  'normal',
  'compressed',
  'crossing-host-clusters',
  'unallocated',
  'zero',
  'zero-allocated',
  'subclusters',
] as const;

/** Expects that the image's tables contain its intended kinds of clusters. */
export async function expectKinds(image: string, kinds: readonly string[]): Promise<void> {
  const census = await l2Census(image);
  const claimed = IN_L2_TABLES.filter((kind) => kinds.includes(kind));
  expect(claimed.filter((kind) => census[kind] === 0)).toEqual([]);
}

/** Images take the first and third and the second and fourth by turns: each target meets half of them. */
const TARGETS: Readonly<Record<string, readonly string[]>> = {
  'zlib.qcow2': ['-c'],
  'zstd.qcow2': ['-c', '-o', 'compression_type=zstd'],
  'plain.qcow2': [],
  raw: [],
};

/** The content of a disk according to qemu-img, as a raw file or, where that would be too large, the source. */
interface Reference {
  readonly file: string;
  readonly format: qemuImg.Format;
}

async function expectSameDisk(reference: Reference, target: string, large: boolean): Promise<void> {
  if (target.endsWith('.qcow2')) {
    expect(await qemuImg.check(target)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
    const compare = ['compare', '-f', reference.format, '-F', 'qcow2', reference.file, target];
    expect((await run('qemu-img', compare)).stdout).toBe('Images are identical.\n');
  } else if (large) {
    const compare = ['compare', '-f', 'raw', '-F', 'raw', reference.file, target];
    expect((await run('qemu-img', compare)).stdout).toBe('Images are identical.\n');
  } else {
    const [expected, found] = await Promise.all([readFile(reference.file), readFile(target)]);
    expect(found.length).toBe(expected.length);
    expect(found.equals(expected)).toBe(true);
  }
}

/** Makes a target, and prints nothing. */
async function convertSilently(args: readonly string[], cwd: string): Promise<void> {
  const { status, stdout, stderr } = await cli(['convert', '-m', '1', ...args], { cwd });
  expect([status, stdout, withoutOwnWarnings(stderr)]).toEqual([0, '', '']);
}

/**
 * Converts an image in two of the four ways, in `npm run test:all` in all, and expects the source's disk in each result. Both programs run in the image's
 * directory, because qemu-img resolves the names of data files from there.
 * @param image its path; the targets are made beside it and removed
 */
export async function expectEveryConversion(image: string, source: GeneratedImage): Promise<void> {
  const { args, kinds, targetOptions } = source;
  const [cwd, file] = [dirname(image), basename(image)];
  const large = kinds.includes('large');
  const beyondRaw = kinds.includes('beyond-raw');
  const stated = args.includes('-f') ? args : ['-f', 'qcow2', ...args];
  const reference: Reference = beyondRaw
    ? { file: image, format: 'qcow2' }
    : { file: `${image}.qemu-img`, format: 'raw' };
  if (!beyondRaw) {
    await runOk('qemu-img', ['convert', ...stated, '-O', 'raw', file, reference.file], { cwd });
  }
  const turn = listImages().indexOf(source) % 2;
  const wanted = Object.entries(TARGETS).filter(
    ([name], index) => !(beyondRaw && name === 'raw') && (TESTS_ALL || index % 2 === turn),
  );
  const targets: string[] = [];
  for (const [name, flags] of wanted) {
    const target = `${image}.${name}`;
    const options = name === 'raw' || targetOptions === '' ? [] : ['-o', targetOptions];
    const format = ['-O', name === 'raw' ? 'raw' : 'qcow2'];
    const command = [...args, ...flags, ...format, ...options, file, target];
    await convertSilently(command, cwd);
    targets.push(target);
  }
  await Promise.all(
    targets.map(async (target) => {
      await expectSameDisk(reference, target, large);
      await rm(target);
    }),
  );
  if (!beyondRaw) await rm(reference.file);
}

/** Expects that nothing is made of an image, in words of the program's own. */
export async function expectRefusal(image: string, args: readonly string[]): Promise<void> {
  const target = `${image}.refused`;
  const options = { cwd: dirname(image) };
  const outcome = await cli(['convert', ...args, '-O', 'raw', basename(image), target], options);
  expect(outcome).toMatchObject({ status: 1, stdout: '' });
  expect(outcome.stderr).toMatch(/^qcow2c: /);
  expect(existsSync(target)).toBe(false);
}
