// Loads the program's modules, compiled by an earlier run, for Node.js 20, whose modules have no compile cache. V8 refuses
// what another version of it has compiled, but does not see that a source or what was compiled has changed: checksums do.
const {
  closeSync,
  constants: { O_NONBLOCK, O_RDONLY },
  fstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} = require('node:fs');
const { createRequire } = require('node:module');
const { dirname, join } = require('node:path');
const { Script } = require('node:vm');
const { crc32 } = require('node:zlib');

/** Bytes before what V8 has made: the checksums of the source and of the rest, and how many runs have added functions. */
const HEADER_BYTES = 12;
/** V8 compiles the functions that a run calls. Runs with other options call others, so some runs add theirs. */
const ADDING_RUNS = 4;
/** Far more than any module needs. */
const LARGEST_FILE = 16 * 1024 * 1024;
const ONLY_OWNER = 0o600;

class CachedModules {
  #directory;
  /** By path. */
  #modules = new Map();
  /** Modules to which this run adds its functions. */
  #scripts = [];

  /** @param {string} directory for the compiled modules. Only the user may be able to write to it. */
  constructor(directory) {
    // V8 refuses what was compiled with other options.
    const options = crc32([...process.execArgv, process.env.NODE_OPTIONS].join(' ')).toString(16);
    this.#directory = join(directory, `${process.version}-${process.arch}-${options}`);
    process.once('exit', () => this.#keep());
  }

  /** @param {string} path of a CommonJS module @returns {unknown} its exports */
  load(path) {
    const loaded = this.#modules.get(path);
    if (loaded !== undefined) return loaded.exports;
    const module = { exports: {} };
    this.#modules.set(path, module);
    const run = this.#compile(path).runInThisContext();
    run.call(module.exports, module.exports, this.#requireOf(path), module, path, dirname(path));
    return module.exports;
  }

  /** Node.js loads packages: they may use more of its modules than the program does. */
  #requireOf(path) {
    const require = createRequire(path);
    return (name) => (name.startsWith('./') ? this.load(join(dirname(path), name)) : require(name));
  }

  #compile(path) {
    const source = readFileSync(path);
    const checksum = crc32(source);
    const file = join(this.#directory, crc32(path).toString(16));
    const compiled = readCompiled(file, checksum);
    const script = new Script(`(function (exports, require, module, __filename, __dirname) {${source}\n})`, {
      filename: path,
      cachedData: compiled?.data,
    });
    const runs = compiled === undefined || script.cachedDataRejected ? 0 : compiled.runs;
    if (runs < ADDING_RUNS) this.#scripts.push({ script, file, checksum, runs: runs + 1 });
    return script;
  }

  /** At the end, when the functions are compiled that this run has called. */
  #keep() {
    try {
      if (this.#scripts.length > 0) mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      for (const { script, file, checksum, runs } of this.#scripts) {
        writeCompiled(file, checksum, script.createCachedData(), runs);
      }
    } catch {
      // A full disk, or a home that cannot be written to: the next run compiles it.
    }
  }
}

/** @returns {{ data: Buffer, runs: number } | undefined} what was compiled from the source with the checksum */
function readCompiled(file, checksum) {
  const content = readRegular(file);
  if (content === undefined || content.length < HEADER_BYTES || content.readUInt32LE(0) !== checksum)
    return undefined;
  const data = content.subarray(HEADER_BYTES);
  return crc32(data) === content.readUInt32LE(4) ? { data, runs: content.readUInt32LE(8) } : undefined;
}

/** @returns {Buffer | undefined} the content of a regular file; undefined without one */
function readRegular(file) {
  let descriptor;
  try {
    // A named pipe would wait for a writer.
    descriptor = openSync(file, O_RDONLY | O_NONBLOCK);
    const stats = fstatSync(descriptor);
    return stats.isFile() && stats.size <= LARGEST_FILE ? readFileSync(descriptor) : undefined;
  } catch {
    return undefined;
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

function writeCompiled(file, checksum, data, runs) {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32LE(checksum, 0);
  header.writeUInt32LE(crc32(data), 4);
  header.writeUInt32LE(runs, 8);
  // Other runs see the whole file or none. A name that is taken is given up by both: a killed run may have left it.
  const temporary = `${file}.new`;
  try {
    writeFileSync(temporary, Buffer.concat([header, data]), { flag: 'wx', mode: ONLY_OWNER });
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

module.exports = { CachedModules };
