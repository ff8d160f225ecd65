/** Directories that become packages: their files have the release's date and the same permissions on any machine. */
import { chmodSync, lstatSync, lutimesSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { EPOCH } from './release.js';

/** Writes a file and makes its directories. */
export function put(file, content) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, content);
}

/** @returns {string[]} the regular files below a directory, sorted */
export function filesBelow(directory) {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return files.map(({ parentPath, name }) => join(parentPath, name)).sort();
}

/**
 * Gives a directory and all below it the release's date, and permissions that depend on no umask.
 * @param {string} directory @param {(file: string) => boolean} isProgram whether a file can be executed
 */
export function settle(directory, isProgram) {
  for (const name of readdirSync(directory)) {
    const path = join(directory, name);
    const stats = lstatSync(path);
    if (stats.isDirectory()) settle(path, isProgram);
    else if (stats.isFile()) chmodSync(path, isProgram(path) ? 0o755 : 0o644);
    if (!stats.isDirectory()) lutimesSync(path, EPOCH, EPOCH);
  }
  chmodSync(directory, directory.endsWith('/tmp') ? 0o1777 : 0o755);
  lutimesSync(directory, EPOCH, EPOCH);
}
