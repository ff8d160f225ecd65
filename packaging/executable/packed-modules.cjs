// The first half of program.js, the one script that the single executable holds. single-executable.js puts the modules in
// the place of PACKED_MODULES, and makes all of it a function with the parameters `entry`, `opening` and `koffiFile`:
// the module to run, the text of the function that opened this script, and the file of koffi's binary, if the thread that
// started this one has made it.

/** @type {Record<string, [needs: Record<string, string>, body: Function]>} modules, each with the names it requires */
const modules = PACKED_MODULES;
/** @type {Map<string, { exports: any }>} */
const loaded = new Map();
const builtin = process.getBuiltinModule;

function load(name) {
  const known = loaded.get(name);
  if (known !== undefined) return known.exports;
  const module = { exports: {} };
  loaded.set(name, module);
  const [needs, body] = modules[name];
  const require = (word) => (Object.hasOwn(needs, word) ? load(needs[word]) : loadBuiltin(word));
  body.call(module.exports, module.exports, require, module, `/qcow2c/${name}`);
  return module.exports;
}

/** No file is looked for: a module in the working directory, or beside the executable, is not part of the program. */
function loadBuiltin(word) {
  if (word === 'node:module') return { ...builtin(word), createRequire: () => requireKoffi };
  if (word === 'node:worker_threads') return { ...builtin(word), Worker: ProgramWorker };
  return builtin(word) ?? refuse(word);
}

function refuse(word) {
  throw Object.assign(new Error(`Cannot find module '${word}'`), { code: 'MODULE_NOT_FOUND' });
}

/** A thread whose entry is one of the packed modules. */
class ProgramWorker extends builtin('node:worker_threads').Worker {
  constructor(entry, options) {
    if (entry instanceof URL)
      super(`(${opening})()(...${JSON.stringify(argumentsFor(entry))})`, { ...options, eval: true });
    else super(entry, options);
  }
}

function argumentsFor({ pathname }) {
  try {
    requireKoffi('koffi');
  } catch {
    // The thread tries again, and reports the error.
  }
  return [pathname.replace('/qcow2c/', ''), opening, koffiFile];
}

/** @type {Error | undefined} why no directory can be used */
let refusal;

function requireKoffi(word) {
  if (word !== 'koffi') return refuse(word);
  const known = loaded.get(word);
  if (known !== undefined) return known.exports;
  const module = { exports: {} };
  if (koffiFile === undefined) koffiFile = placeKoffi((file) => process.dlopen(module, file));
  else process.dlopen(module, koffiFile);
  loaded.set(word, module);
  return module.exports;
}
requireKoffi.resolve = refuse;

/**
 * Makes a file of koffi's binary, because the system's loader takes files only, and loads it. The first directory whose
 * files can be executed is taken.
 * @returns the file's name, by which other threads find what is loaded
 */
function placeKoffi(use) {
  if (refusal !== undefined) throw refusal;
  const bytes = new Uint8Array(builtin('node:sea').getRawAsset('koffi.node'));
  const directories = [builtin('node:os').tmpdir(), '/var/tmp', '/dev/shm', `/run/user/${process.geteuid()}`];
  let reason;
  for (const place of [placeUnnamed, placeNamed]) {
    for (const directory of directories) {
      try {
        return place(directory, bytes, use);
      } catch (error) {
        if (error.code === 'EMFILE' || error.code === 'ENFILE') throw error;
        reason ??= error;
      }
    }
  }
  refusal = reason;
  if (builtin('node:worker_threads').isMainThread) warn(directories);
  throw reason;
}

/** Without koffi the program works, but takes no locks, reads holes and uses no library. */
function warn(directories) {
  const where = directories.join(', ');
  builtin('node:fs').writeSync(
    2,
    `qcow2c: warning: No file could be loaded from ${where}: ${refusal.message}; compression libraries, NBD, locks and ` +
      'holes are not available; set TMPDIR to a directory on a file system without noexec\n',
  );
}

/** Nothing is left behind, whatever ends the process. The descriptor stays open. */
function placeUnnamed(directory, bytes, use) {
  const { constants, openSync, writeFileSync, closeSync } = builtin('node:fs');
  // O_TMPFILE, which Node.js does not name.
  const descriptor = openSync(directory, 0o20_000_000 | constants.O_DIRECTORY | constants.O_RDWR, 0o700);
  try {
    writeFileSync(descriptor, bytes);
    const file = `/proc/self/fd/${descriptor}`;
    use(file);
    return file;
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
}

/** For file systems without unnamed files, and where /proc is missing. */
function placeNamed(directory, bytes, use) {
  const { mkdtempSync, rmSync, writeFileSync } = builtin('node:fs');
  const { join } = builtin('node:path');
  const own = mkdtempSync(join(directory, 'qcow2c-'));
  try {
    const file = join(own, 'koffi.node');
    writeFileSync(file, bytes, { mode: 0o700 });
    use(file);
    return file;
  } finally {
    rmSync(own, { recursive: true, force: true });
  }
}

load(entry);
