/** The packages that `npm run package` made, and what several of their tests do with them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { ROOT } from '../e2e/cli.js';
import { type RunOptions, runOk } from '../oracle/run.js';

const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string };
const debianArchitecture = process.arch === 'x64' ? 'amd64' : process.arch;
const DIRECTORY = join(ROOT, 'packages');

export const VERSION = version;
export const CHECKSUMS = join(DIRECTORY, 'SHA256SUMS');
export const TARBALL = join(DIRECTORY, `qcow2c-${version}.tgz`);
export const MATERIALS = join(DIRECTORY, `qcow2c-${version}.cdx.json`);
export const DEBIAN_PACKAGE = join(DIRECTORY, `qcow2c_${version}_${debianArchitecture}.deb`);
export const EXECUTABLE = join(DIRECTORY, `qcow2c-${version}-linux-${process.arch}`);
export const IMAGE = join(DIRECTORY, `qcow2c-${version}-oci-${debianArchitecture}`);

/** A program in a package: a command and its first words. */
export type Program = readonly [command: string, ...words: string[]];

/**
 * Expects that a packaged program finds every library, and makes with several threads the same image as the built one.
 * @param disk a raw disk by its name for the program; `target` is the name of an image to make
 * @returns what --version printed
 */
export async function expectWorkingProgram(
  [command, ...words]: Program,
  disk: string,
  target: string,
  options: RunOptions = {},
): Promise<string> {
  const qcow2c = (...args: string[]) => runOk(command, [...words, ...args], options);
  const versions = await qcow2c('--version');
  expect(versions).toContain(`qcow2c ${VERSION}\n`);
  for (const part of ['isal', 'libdeflate', 'libzstd', 'koffi'])
    expect(versions).not.toMatch(new RegExp(`^${part} +not found$`, 'm'));
  expect(versions).toMatch(/^lseek +koffi$/m);
  await qcow2c('convert', '-c', '-m', '2', '--verify', '-f', 'raw', disk, target);
  expect(await qcow2c('check', '--data', target)).toContain('No errors were found');
  expect(await qcow2c('compare', '-f', 'raw', disk, target)).toContain('Images are identical.');
  return versions;
}
