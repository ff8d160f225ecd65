/** The packages that `npm run package` made, and what several of their tests do with them. */
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { ROOT } from '../e2e/cli.js';
import { whileQemuNbd } from '../oracle/nbd-server.js';
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

/** A directory, by its name here and by its name for the program. */
interface Place {
  readonly here: string;
  readonly there: string;
}

/**
 * Expects that a packaged program finds every library, makes an image with several threads, and reads an NBD export.
 * @param place a directory with a raw disk `disk.raw`; the images `out.qcow2` and `nbd.qcow2` are made
 * @returns what --version printed
 */
export async function expectWorkingProgram(
  [command, ...words]: Program,
  { here, there }: Place,
  options: RunOptions = {},
): Promise<string> {
  const qcow2c = (...args: string[]) => runOk(command, [...words, ...args], options);
  const [disk, out, nbd] = ['disk.raw', 'out.qcow2', 'nbd.qcow2'].map((name) => join(there, name));
  const versions = await qcow2c('--version');
  expect(versions).toContain(`qcow2c ${VERSION}\n`);
  for (const part of ['isal', 'libdeflate', 'libzstd', 'koffi'])
    expect(versions).not.toMatch(new RegExp(`^${part} +not found$`, 'm'));
  expect(versions).toMatch(/^lseek +koffi$/m);
  await qcow2c('convert', '-c', '-m', '2', '--verify', '-f', 'raw', disk!, out!);
  expect(await qcow2c('check', '--data', out!)).toContain('No errors were found');
  expect(await qcow2c('compare', '-f', 'raw', disk!, out!)).toContain('Images are identical.');

  const serving = ['-r', '-e', '4', '-f', 'raw', join(here, 'disk.raw')];
  await whileQemuNbd(join(here, 'nbd.sock'), serving, () =>
    qcow2c('convert', '-c', '-m', '2', `nbd+unix:///?socket=${join(there, 'nbd.sock')}`, nbd!),
  );
  expect((await readFile(join(here, 'nbd.qcow2'))).equals(await readFile(join(here, 'out.qcow2')))).toBe(
    true,
  );
  return versions;
}
