// A module of its own, because a Node.js that is too old cannot read the program.
const { enableCompileCache } = require('node:module');
const { compileCacheDirectory } = require('./compile-cache.js');

let modules;

/** @returns the program, the same each time, compiled by an earlier run where that is possible */
module.exports = async () => {
  // The user's own choice is already in use.
  const isChosen = enableCompileCache !== undefined && process.env.NODE_COMPILE_CACHE;
  const directory = isChosen ? undefined : compileCacheDirectory(process.env, process.argv[2]);
  if (directory !== undefined && enableCompileCache === undefined) {
    const { CachedModules } = require('./cached-modules.js');
    modules ??= new CachedModules(directory);
    return modules.load(require.resolve('../dist/cli.cjs'));
  }
  if (directory !== undefined) enableCompileCache(directory);
  return require('../dist/cli.cjs');
};
