// The yardstick for overhead: `node engine-loop.js SOURCE ENGINE LEVEL` only runs an engine over the non-zero 64 KiB
// clusters of a raw file, with a worker thread on every core, and throws the result away. Its CPU time holds the
// start of Node and of the workers, finding the holes (SEEK_DATA, SEEK_HOLE), reading the data through the page
// cache in items of 1 MiB, the test for zeros and the compression: nothing is handed over, ordered or written.
import { fstatSync, openSync, readSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isMainThread, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { onAllCores } from './all-cores.js';
import { ENGINES } from './built.js';

const require = createRequire(import.meta.url);
const CLUSTER = 65536;
const ITEM = 2 ** 20;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

/** @param {number} descriptor @param {number} size bytes @returns {number[]} offsets of the items that hold data */
function items(descriptor, size) {
  const lseek = koffi.load('libc.so.6').func('int64_t lseek(int, int64_t, int)');
  const offsets = [];
  let hole = 0;
  for (;;) {
    // -1 (ENXIO): no data from here to the end of the file.
    const data = hole < size ? Number(lseek(descriptor, hole, SEEK_DATA)) : -1;
    if (data < 0) return offsets;
    hole = Number(lseek(descriptor, data, SEEK_HOLE));
    const last = offsets.at(-1) ?? -ITEM;
    for (let at = Math.max(last + ITEM, data - (data % ITEM)); at < hole; at += ITEM) offsets.push(at);
  }
}

function main() {
  const [path, engine, level] = process.argv.slice(2);
  const descriptor = openSync(path, 'r');
  const offsets = items(descriptor, fstatSync(descriptor).size);
  onAllCores(import.meta.url, descriptor, offsets, { engine, level: Number(level) });
}

async function work() {
  const { descriptor, engine, level, shared, next } = workerData;
  const { createCompressor, findLibrary } = require(ENGINES);
  const library = (await findLibrary(engine))?.path;
  const compressor = await createCompressor({ type: 'zlib', engine, level, library, windowBits: 15 });
  const input = Buffer.alloc(ITEM);
  const output = Buffer.alloc(CLUSTER);
  const zeros = Buffer.alloc(CLUSTER);
  for (let n = Atomics.add(next, 0, 1); n < shared.length; n = Atomics.add(next, 0, 1)) {
    const length = readSync(descriptor, input, 0, ITEM, shared[n]);
    for (let at = 0; at < length; at += CLUSTER) {
      const cluster = input.subarray(at, Math.min(at + CLUSTER, length));
      if (cluster.equals(zeros)) continue;
      compressor.compress(cluster, output.subarray(0, CLUSTER - 1));
    }
  }
}

if (isMainThread) main();
else await work();
