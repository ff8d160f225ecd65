/** The same conversion by qcow2c and by qemu-img, and comparisons of the results. */
import { copyFile, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { expect } from 'vitest';
import * as qemuImg from '../oracle/qemu-img.js';
import { type RunOptions, run, runOk } from '../oracle/run.js';
import { cliOk } from './cli.js';
import { expectFailure } from './failures.js';

/** A target of both programs, by its path and the two endings. */
export interface Both {
  readonly ours: string;
  readonly theirs: string;
}

/** Arguments for both programs alike, or for each its own. */
type Arguments = readonly string[] | ((program: keyof Both) => readonly string[]);

/**
 * Converts with both programs, which must succeed.
 * @param args in front of the file names
 * @param target the path that both targets' begin with
 * @param existing with -n: the file that both are given a copy of
 */
export async function convertWithBoth(
  args: Arguments,
  sources: readonly string[],
  target: string,
  options: RunOptions & { readonly existing?: string } = {},
): Promise<Both> {
  const both = { ours: `${target}.ours`, theirs: `${target}.theirs` };
  const { existing } = options;
  await Promise.all(
    Object.values(both).map(async (name) => {
      await rm(name, { force: true });
      if (existing !== undefined) await copyFile(existing, name);
    }),
  );
  const words = (program: keyof Both) => [
    'convert',
    ...(typeof args === 'function' ? args(program) : args),
    ...sources,
    both[program],
  ];
  await Promise.all([cliOk(words('ours'), options), runOk('qemu-img', words('theirs'), options)]);
  return both;
}

/** A run of guest bytes that are alike, in bytes. */
type Range = Omit<qemuImg.MappedRange, 'length'>;

/** Output of `qemu-img map` without file offsets: equal neighbours are one range. */
export async function rangesOf(image: string, format: qemuImg.Format): Promise<readonly Range[]> {
  const ranges: Range[] = [];
  for (const { start, depth, present, zero, data } of await qemuImg.map(image, format)) {
    const last = ranges.at(-1);
    const isAlike =
      last?.depth === depth && last.present === present && last.zero === zero && last.data === data;
    if (!isAlike) ranges.push({ start, depth, present, zero, data });
  }
  return ranges;
}

/** Expects that `qemu-img map` shows the same ranges of both, and `qemu-img compare` the same bytes. */
export async function expectSameRanges({ ours, theirs }: Both, format: qemuImg.Format): Promise<void> {
  expect(await rangesOf(ours, format)).toEqual(await rangesOf(theirs, format));
  await expectSameGuest({ ours, theirs }, format);
}

/** Expects two disks of the same size with the same bytes, and of qcow2 images that ours is sound. */
export async function expectSameGuest({ ours, theirs }: Both, format: qemuImg.Format): Promise<void> {
  const compared = await run('qemu-img', ['compare', '-f', format, '-F', format, theirs, ours]);
  expect(compared).toMatchObject({ stdout: 'Images are identical.\n', stderr: '' });
  if (format === 'raw') return;
  expect(await qemuImg.check(ours)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
}

/**
 * Expects that both programs refuse with these words, and that qcow2c leaves no files.
 * @param args all arguments after `convert` except the target, which does not exist
 */
export async function expectBothRefuse(
  args: readonly string[],
  target: string,
  words: RegExp,
  options: RunOptions = {},
): Promise<void> {
  const theirs = await run('qemu-img', ['convert', ...args, `${target}.theirs`], options);
  expect(theirs.status).toBe(1);
  expect(theirs.stderr).toMatch(words);
  await rm(`${target}.theirs`, { force: true });
  await expectFailure(dirname(target), ['convert', ...args, target], words, options);
}
