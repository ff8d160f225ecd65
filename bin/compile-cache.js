// Where Node.js keeps the program compiled, from 22.1 on. Code that is loaded from there runs as this user: a directory
// that another user could have made or could write to is never used.
const { lstatSync, mkdirSync, realpathSync } = require('node:fs');
const { homedir } = require('node:os');
const { dirname, isAbsolute, join } = require('node:path');

/** Each has its own directory: what the first runs have called is kept, and another command calls other functions. */
const COMMANDS = ['check', 'checksum', 'compare', 'convert', 'info', 'map', 'measure'];

const GROUP_AND_OTHERS = 0o077;
const WRITE_BY_OTHERS = 0o022;
/** Others can add entries to such a directory, but not replace those of the user. */
const STICKY = 0o1000;

/**
 * Makes a directory of the user if it is missing.
 * @param {string} path
 */
function makeDirectory(path) {
  try {
    mkdirSync(path, 0o700);
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
}

/**
 * @param {string} path @param {number[]} owners @param {number} refused bits of the mode
 * @returns {boolean} whether it is a directory of one of the owners, with none of the bits
 */
function isSafe(path, owners, refused) {
  const stats = lstatSync(path);
  return stats.isDirectory() && owners.includes(stats.uid) && (stats.mode & refused) === 0;
}

/** @returns {boolean} whether a directory and all above it belong to the user or to root, and no other can replace one */
function isReachedSafely(path, user) {
  for (let at = path; ; at = dirname(at)) {
    const isSticky = (lstatSync(at).mode & STICKY) !== 0;
    if (!isSafe(at, [user, 0], isSticky ? 0 : WRITE_BY_OTHERS)) return false;
    if (at === dirname(at)) return true;
  }
}

/**
 * Makes the directory if it is missing. Its parents belong to the user or to root, and it belongs to the user, who alone
 * has access to it.
 * @param {NodeJS.ProcessEnv} env
 * @param {string | undefined} command the first argument; any other than a command counts as none
 * @returns {string | undefined} undefined: there is no such place, or the user wants none
 */
function compileCacheDirectory(env, command) {
  if (process.geteuid === undefined || env.NODE_DISABLE_COMPILE_CACHE) return undefined;
  const user = process.geteuid();
  try {
    const base = env.XDG_CACHE_HOME?.startsWith('/') ? env.XDG_CACHE_HOME : join(homedir(), '.cache');
    // HOME may be empty or relative: the cache would lie in the working directory.
    if (!isAbsolute(base)) return undefined;
    // Nothing is made in the home of another user, which root may have: the other could not use it.
    if (!isReachedSafely(realpathSync(dirname(base)), user)) return undefined;
    makeDirectory(base);
    const parent = realpathSync(base);
    if (!isSafe(parent, [user], WRITE_BY_OTHERS) || !isReachedSafely(dirname(parent), user)) return undefined;
    const directory = join(parent, 'qcow2c');
    makeDirectory(directory);
    if (!isSafe(directory, [user], GROUP_AND_OTHERS)) return undefined;
    return join(directory, COMMANDS.includes(command) ? command : 'other');
  } catch {
    // A home that is missing or cannot be written to: the program is compiled each time.
    return undefined;
  }
}

module.exports = { compileCacheDirectory };
