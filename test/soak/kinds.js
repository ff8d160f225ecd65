// The tasks that the soak repeats: conversions of every kind, some of which must fail, and the other commands. Each
// kind has its expected result.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { check, compare, convert, imageInfo, mapImage, measure } from '../../dist/index.js';

/**
 * @typedef {object} CommandIo
 * @property {ReturnType<typeof import('./images.js').makeImages>} images
 * @property {string} directory for targets
 * @property {AbortSignal} signal of the whole soak; never aborted
 * @property {'node' | undefined} engine
 */

/**
 * @typedef {object} Kind
 * @property {string} name
 * @property {boolean} native whether its workers load a native library with every engine
 * @property {string} expected `done` or the code of the error
 * @property {(io: CommandIo) => Promise<unknown>} run
 */

const THREADS = 2;
const ZSTD = { create: { compressionType: 'zstd' } };

/** @param {CommandIo} io @param {object} options */
const to = ({ directory, signal, engine }, options) =>
  // All conversions have the same target, raw or qcow2 in turn.
  convert({
    target: join(directory, 'target'),
    targetFormat: 'qcow2',
    threads: THREADS,
    signal,
    engine,
    ...options,
  });

/** A conversion that is aborted while it runs. @param {CommandIo} io @param {object} options */
function aborted(io, options) {
  const end = new AbortController();
  const onProgress = ({ guestBytesDone }) => guestBytesDone > 0 && end.abort();
  return to(io, { ...options, onProgress, signal: end.signal });
}

/**
 * Calls `use` with a stream of the raw disk's bytes.
 * @param {CommandIo} io @param {(sources: object[]) => Promise<unknown>} use closes the stream
 */
async function piped({ images, directory }, use) {
  const pipe = join(directory, 'pipe');
  if (!fs.existsSync(pipe)) execFileSync('mkfifo', [pipe]);
  const stream = fs.openSync(pipe, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const writer = fs.createReadStream(images.raw).pipe(fs.createWriteStream(pipe));
  const closed = new Promise((resolve) => writer.once('close', resolve));
  // The reader may stop in the middle.
  writer.once('error', () => {});
  try {
    return await use([{ stream, name: 'stream' }]);
  } finally {
    writer.destroy();
    await closed;
  }
}

/** Calls `use` on a file system that is full after one write. @param {() => Promise<unknown>} use */
async function whenFull(use) {
  const { writev } = fs;
  let room = 1;
  fs.writev = (descriptor, buffers, position, answer) => {
    room -= 1;
    if (room >= 0) return writev(descriptor, buffers, position, answer);
    setImmediate(answer, Object.assign(new Error('no space left on device'), { errno: -28, code: 'ENOSPC' }));
  };
  syncBuiltinESMExports();
  try {
    return await use();
  } finally {
    fs.writev = writev;
    syncBuiltinESMExports();
  }
}

/** @param {string} name @param {Kind['run']} run @param {string} [expected] @returns {Kind} */
const kind = (name, run, expected = 'done') => ({ name, run, expected, native: false });
/** @param {string} name @param {Kind['run']} run @param {string} [expected] @returns {Kind} */
const native = (name, run, expected = 'done') => ({ name, run, expected, native: true });

/** @type {readonly Kind[]} */
export const KINDS = [
  kind('raw to zlib', (all) => to(all, { sources: [all.images.raw], compress: true })),
  native('raw to zstd', (all) => to(all, { sources: [all.images.raw], compress: true, ...ZSTD })),
  kind('raw to normal clusters', (all) => to(all, { sources: [all.images.raw] })),
  kind('raw to raw', (all) => to(all, { sources: [all.images.raw], targetFormat: 'raw' })),
  kind('plain qcow2 to zlib, verified', (all) =>
    to(all, { sources: [all.images.plain], compress: true, verify: true }),
  ),
  kind('compressed payloads copied', (all) => to(all, { sources: [all.images.zlib], compress: true })),
  kind('recompressed, small clusters', (all) =>
    to(all, { sources: [all.images.zlib], compress: true, create: { clusterSize: 4096 } }),
  ),
  kind('zlib to raw', (all) => to(all, { sources: [all.images.zlib], targetFormat: 'raw' })),
  native('zstd to raw', (all) => to(all, { sources: [all.images.zstd], targetFormat: 'raw' })),
  kind('chain of three', (all) =>
    to(all, { sources: [{ file: all.images.top, format: 'qcow2' }], compress: true }),
  ),
  kind('two sources', (all) => to(all, { sources: [all.images.raw, all.images.plain], compress: true })),
  kind('external data file', (all) =>
    to(all, { sources: [{ file: all.images.withDataFile, format: 'qcow2' }], compress: true }),
  ),
  kind('to an external data file', (all) =>
    to(all, { sources: [all.images.raw], create: { dataFile: join(all.directory, 'target.data') } }),
  ),
  kind('overlay', (all) => {
    const create = { backingFile: all.images.base, backingFormat: 'qcow2' };
    return to(all, { sources: [{ file: all.images.top, format: 'qcow2' }], compress: true, create });
  }),
  kind('stream', (all) => piped(all, (sources) => to(all, { sources, compress: true }))),
  kind('stream, verified', (all) => piped(all, (sources) => to(all, { sources, verify: true }))),
  kind('bitmaps', (all) => to(all, { sources: [all.images.bitmaps], compress: true, bitmaps: 'all' })),
  kind('preallocated', (all) => to(all, { sources: [all.images.raw], create: { preallocation: 'falloc' } })),
  kind('rate limited', (all) => to(all, { sources: [all.images.raw], rateLimit: 2 ** 33 })),
  kind('directly from the source', (all) =>
    to(all, { sources: [all.images.raw], compress: true, sourceCache: 'none', targetCache: 'directsync' }),
  ),
  kind('salvaged', (all) => to(all, { sources: [all.images.broken], targetFormat: 'raw', salvage: true })),
  kind('no source', (all) => to(all, { sources: [all.images.missing] }), 'ERR_IO'),
  kind('a directory as source', (all) => to(all, { sources: [all.directory] }), 'ERR_UNSUPPORTED'),
  kind('guessed format', (all) => to(all, { sources: [all.images.top] }), 'ERR_UNSUPPORTED'),
  kind(
    'bad option',
    (all) => to(all, { sources: [all.images.raw], create: { clusterSize: 1000 } }),
    'ERR_USAGE',
  ),
  kind(
    'no directory for the target',
    (all) => to(all, { sources: [all.images.raw], target: join(all.directory, 'none', 'target') }),
    'ERR_IO',
  ),
  kind('broken payload', (all) => to(all, { sources: [all.images.broken], compress: true }), 'ERR_CORRUPT'),
  kind('aborted', (all) => aborted(all, { sources: [all.images.raw], compress: true }), 'ERR_ABORTED'),
  kind('aborted stream', (all) => piped(all, (sources) => aborted(all, { sources })), 'ERR_ABORTED'),
  kind(
    'aborted before',
    (all) => to(all, { sources: [all.images.raw], signal: AbortSignal.abort() }),
    'ERR_ABORTED',
  ),
  kind('full file system', (all) => whenFull(() => to(all, { sources: [all.images.raw] })), 'ERR_IO'),
  native('check with data', ({ images, signal }) =>
    check({ image: { file: images.zstd }, data: true, threads: THREADS, signal }),
  ),
  kind('check', ({ images, signal }) => check({ image: { file: images.top }, signal })),
  native('compare', ({ images, signal }) =>
    compare({ images: [images.raw, images.plain], threads: THREADS, signal }),
  ),
  native('compare compressed', ({ images, signal }) =>
    compare({ images: [images.zlib, images.zstd], threads: THREADS, signal }),
  ),
  native('info, deep', ({ images, signal }) =>
    imageInfo({ image: { file: images.zstd }, deep: true, threads: THREADS, signal }),
  ),
  kind('map', async ({ images }) => {
    for await (const range of mapImage({ image: { file: images.top, format: 'qcow2' } })) void range;
  }),
  kind('map, ended early', async ({ images }) => {
    for await (const range of mapImage({ image: { file: images.plain } })) return range;
  }),
  kind('measure', ({ images, signal }) => measure({ source: images.plain, targetFormat: 'qcow2', signal })),
  kind('measure, compressed', ({ images, signal, engine }) =>
    measure({ source: images.raw, compress: true, sample: 50, threads: THREADS, engine, signal }),
  ),
];
