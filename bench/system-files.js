// Real files of this machine's system, in an order that does not depend on the file system. Used by the corpora.
import { lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** @typedef {{ path: string, size: number }} SystemFile */

/**
 * Bytes to take from each part of the system, about as a Debian root is made up: libraries, programs, then data
 * and documentation. A part that has fewer is made up for by the rest of /usr.
 * @returns {[directory: string, bytes: number][]}
 */
function portions() {
  const libraries = readdirSync('/usr/lib')
    .filter((name) => name.endsWith('-linux-gnu'))
    .map((name) => join('/usr/lib', name))[0];
  return [
    [libraries ?? '/usr/lib64', 300e6],
    ['/usr/bin', 100e6],
    ['/usr/share', 200e6],
  ];
}

/** Files that all portions share. */
export const SYSTEM_BYTES = 600e6;

/**
 * Regular files below a directory (links are not followed), sorted by name; files with several names once.
 * @param {string} directory @param {Set<number>} seen inodes already taken
 * @returns {Generator<SystemFile>}
 */
function* walk(directory, seen) {
  const entries = readdirSync(directory, { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* walk(path, seen);
    if (!entry.isFile()) continue;
    const { ino, size } = lstatSync(path);
    if (seen.has(ino)) continue;
    seen.add(ino);
    yield { path, size };
  }
}

/**
 * @returns {SystemFile[]} files of at least SYSTEM_BYTES together
 * @throws Error when the system has fewer
 */
export function systemFiles() {
  /** @type {SystemFile[]} */
  const files = [];
  /** @type {Set<number>} */
  const seen = new Set();
  let total = 0;
  const take = (/** @type {string} */ directory, /** @type {number} */ end) => {
    if (total >= end) return;
    for (const file of walk(directory, seen)) {
      files.push(file);
      total += file.size;
      if (total >= end) return;
    }
  };
  for (const [directory, bytes] of portions()) {
    if (lstatSync(directory, { throwIfNoEntry: false }) !== undefined) take(directory, total + bytes);
  }
  take('/usr', SYSTEM_BYTES);
  if (total < SYSTEM_BYTES)
    throw new Error(`/usr has ${total} bytes of files, and ${SYSTEM_BYTES} are needed`);
  return files;
}
