/** What is packaged: the checkout, its version, its date, and the machine's names for itself. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { outputOf } from './programs.js';

/** The checkout, with a slash at its end. */
export const ROOT = fileURLToPath(new URL('../', import.meta.url));

export const MANIFEST = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8'));
export const VERSION = MANIFEST.version;

/** The .deb's maintainer. */
export const MAINTAINER = 'The qcow2c authors <qcow2c@users.noreply.invalid>';

/** Seconds since 1970: the date of every file, so that a commit gives the same bytes on any day. */
export const EPOCH = epoch();
export const DATE = new Date(EPOCH * 1000);

/** Debian's and the container world's word for this processor. */
export const ARCHITECTURE = { x64: 'amd64', arm64: 'arm64' }[process.arch] ?? unsupported();

function epoch() {
  const text = process.env.SOURCE_DATE_EPOCH ?? outputOf('git', ['-C', ROOT, 'log', '-1', '--format=%ct']);
  if (/^\d+\s*$/.test(text)) return Number(text);
  throw new Error(`SOURCE_DATE_EPOCH is not a number of seconds: '${text}'`);
}

function unsupported() {
  throw new Error(`Packages are made on x64 and arm64, but this is ${process.arch}`);
}
