// The commands that are measured: ours, qemu-img's, and the yardsticks (engine loop, disk, start of Node).
import { fileURLToPath } from 'node:url';
import { FREE_ENGINE_PROGRAM } from './built.js';
import { COMPRESS, DIRECT, PARALLEL, START } from './commands.js';
import { corpusFormat } from './corpora.js';
import { fromServer, incremental, restored } from './served-sides.js';

const ENGINE_LOOP = fileURLToPath(new URL('engine-loop.js', import.meta.url));
const INFLATING_LOOP = fileURLToPath(new URL('inflating-loop.js', import.meta.url));

/** The level of qcow2c that is held against the engine loop: both get it by name. */
export const OVERHEAD_LEVEL = 2;

/**
 * `label` is what the report calls the side, `makes` what it leaves behind: an image or a raw disk is verified, a copy is
 * only measured, nothing is neither. `other` gives the path of another corpus.
 * @typedef {{ id: string, corpus: string, label: string, makes: 'image' | 'raw' | 'copy' | 'nothing',
 *   command: (source: string, target: string, other: (corpus: string) => string) => string[] }} Side
 */

/** @typedef {import('./commands.js').Program} Program */

const ZSTD = ['-o', 'compression_type=zstd'];

/** @param {Program} program @returns {(corpus: string, name: string, ...options: string[]) => Side} */
const compressing =
  (program) =>
  (corpus, name, ...options) => ({
    id: `${corpus}/${name}`,
    corpus,
    label: [program, 'convert -c', ...options].join(' '),
    makes: 'image',
    command: (source, target) => [...START[program], ...COMPRESS, ...options, source, target],
  });

const qcow2c = compressing('qcow2c');
const qemuImg = compressing('qemu-img');

/** @param {string} corpus @returns {Side} a conversion into a pipe, whose reader counts too */
const intoPipe = (corpus) => ({
  id: `${corpus}/pipe`,
  corpus,
  label: 'qcow2c convert -c into a pipe',
  makes: 'image',
  command: (source, target) => [
    ...['sh', '-c', '"$@" - | cat > "$0"', target],
    ...[...START.qcow2c, ...COMPRESS, source],
  ],
});

/**
 * A side that reads a qcow2 image.
 * @param {string} corpus @param {string} name @param {Program} program @param {string[]} options
 * @returns {Side}
 */
function fromQcow2(corpus, name, program, ...options) {
  const raw = options.includes('raw');
  return {
    id: `${corpus}/${name}`,
    corpus,
    label: [program, 'convert -f qcow2', ...options].join(' '),
    makes: raw ? 'raw' : 'image',
    command: (source, target) => [
      ...START[program],
      ...['convert', '-f', 'qcow2', ...(raw ? [] : ['-O', 'qcow2']), ...options, source, target],
    ],
  };
}

/**
 * A side that looks into an image, or compares it with another.
 * @param {Program} program @param {'check' | 'compare'} name @param {string} corpus
 * @param {string} [against] the corpus to compare with
 * @returns {Side}
 */
function looking(program, name, corpus, against) {
  return {
    id: `${corpus}/${program}-${name}`,
    corpus,
    label: [program, name, ...(against === undefined ? [] : ['with', against])].join(' '),
    makes: 'nothing',
    command: (source, _target, other) => [
      ...START[program],
      ...[name, '-f', corpusFormat(corpus)],
      ...(against === undefined ? [] : ['-F', corpusFormat(against)]),
      source,
      ...(against === undefined ? [] : [other(against)]),
    ],
  };
}

/** @param {string} corpus @returns {Side} */
const checksum = (corpus) => ({
  id: `${corpus}/checksum`,
  corpus,
  label: 'qcow2c checksum',
  makes: 'nothing',
  command: (source) => [...START.qcow2c, 'checksum', '-f', corpusFormat(corpus), source],
});

/** @param {string} corpus @returns {Side} qemu-img writes no raw disk into a pipe, so the disk is a file between the two */
const rawSum = (corpus) => ({
  id: `${corpus}/raw-sum`,
  corpus,
  label: 'qemu-img convert -O raw && sha256sum',
  makes: 'raw',
  command: (source, target) => [
    ...['sh', '-c', 'qemu-img convert -O raw "$@" && shift && sha256sum "$1"', 'sh'],
    ...[source, target],
  ],
});

/** @param {string} corpus @param {'isal' | 'libdeflate'} engine @param {number} level @returns {Side} */
const engineLoop = (corpus, engine, level) => ({
  id: `${corpus}/${engine}-loop`,
  corpus,
  label: `engine loop, ${engine} ${level}`,
  makes: 'nothing',
  command: (source) => [process.execPath, ENGINE_LOOP, source, engine, String(level)],
});

/** @param {string} corpus @returns {Side} */
const inflatingLoop = (corpus) => ({
  id: `${corpus}/inflating-loop`,
  corpus,
  label: 'inflating loop, libdeflate',
  makes: 'nothing',
  command: (source) => [process.execPath, INFLATING_LOOP, source],
});

/** @param {string} corpus @returns {Side} the program with an engine that costs nothing: its image has no content */
const freeEngine = (corpus) => ({
  id: `${corpus}/free-engine`,
  corpus,
  label: 'qcow2c convert -c -t none, an engine that costs nothing',
  makes: 'copy',
  command: (source, target) => [
    process.execPath,
    FREE_ENGINE_PROGRAM,
    ...[...COMPRESS, ...DIRECT, source, target],
  ],
});

/** @param {string} corpus @param {Program} program @param {string[]} options @returns {Side} */
const rawToRaw = (corpus, program, ...options) => ({
  id: `${corpus}/${program}-raw-to-raw`,
  corpus,
  label: [program, 'convert -O raw', ...options].join(' '),
  makes: 'raw',
  command: (source, target) => [
    ...START[program],
    ...['convert', '-f', 'raw', '-O', 'raw', ...options, source, target],
  ],
});

/** @param {string} corpus @returns {Side} what every command of ours pays before it does anything */
const startOfNode = (corpus) => ({
  id: `${corpus}/node`,
  corpus,
  label: 'node -e 0',
  makes: 'nothing',
  command: () => [process.execPath, '-e', '0'],
});

/** @param {string} corpus @returns {Side[]} sides that run beside each other on a disk full of files */
function systemFiles(corpus) {
  return [
    qcow2c(corpus, 'direct', ...DIRECT),
    qemuImg(corpus, 'qemu-parallel', ...PARALLEL),
    qcow2c(corpus, 'fast', '--fast', ...DIRECT),
    qcow2c(corpus, 'plain'),
    qemuImg(corpus, 'qemu-plain'),
    qcow2c(corpus, 'zstd', ...ZSTD, ...DIRECT),
    qemuImg(corpus, 'qemu-zstd', ...ZSTD, ...PARALLEL),
    qcow2c(corpus, 'overhead', '-o', `compression_level=${OVERHEAD_LEVEL}`, ...DIRECT),
    engineLoop(corpus, 'libdeflate', OVERHEAD_LEVEL),
    engineLoop(corpus, 'isal', 2),
    rawToRaw(corpus, 'qcow2c', ...DIRECT),
    rawToRaw(corpus, 'qemu-img', ...PARALLEL),
  ];
}

/** @param {string} corpus compressed by qemu-img @returns {Side[]} sides that restore and copy it */
function backup(corpus) {
  return [
    fromQcow2(corpus, 'passthrough', 'qcow2c', '-c', ...DIRECT),
    fromQcow2(corpus, 'qemu-parallel', 'qemu-img', '-c', ...PARALLEL),
    fromQcow2(corpus, 'raw', 'qcow2c', '-O', 'raw', ...DIRECT),
    fromQcow2(corpus, 'qemu-raw', 'qemu-img', '-O', 'raw', ...PARALLEL),
    inflatingLoop(corpus),
  ];
}

/**
 * All sides in the order in which a round runs them: compared sides are adjacent.
 * @type {readonly Side[]}
 */
export const SIDES = [
  ...systemFiles('dense'),
  qcow2c('dense', 'digest', '--digest', ...DIRECT),
  freeEngine('dense'),
  intoPipe('dense'),
  ...systemFiles('ext4'),
  qcow2c('ext4', 'two-workers', '-m', '2'),
  qcow2c('ones', 'direct', ...DIRECT),
  qemuImg('ones', 'qemu-direct', ...DIRECT),
  qcow2c('ones', 'buffered', '-t', 'writeback'),
  qcow2c('ones', 'no-cache', '--compressed-cache-size', '0', ...DIRECT),
  qcow2c('random', 'direct', ...DIRECT),
  {
    id: 'random/disk',
    corpus: 'random',
    label: 'dd oflag=direct bs=2M conv=fsync',
    makes: 'copy',
    command: (source, target) => [
      'dd',
      ...[`if=${source}`, `of=${target}`, 'bs=2M', 'oflag=direct', 'conv=fsync', 'status=none'],
    ],
  },
  qemuImg('random', 'qemu-parallel', ...PARALLEL),
  qcow2c('empty15t', 'plain'),
  qemuImg('empty15t', 'qemu-plain'),
  startOfNode('empty15t'),
  qcow2c('sparse1t', 'two-workers', '-m', '2'),
  qcow2c('ext4in1t', 'two-workers', '-m', '2'),
  qcow2c('small', 'plain'),
  startOfNode('small'),
  freeEngine('small'),
  .../** @type {const} */ (['qemu-nbd', 'nbdkit']).flatMap((server) => [
    fromServer('dense', server, 'qcow2c'),
    fromServer('dense', server, 'qemu-img'),
  ]),
  fromQcow2('dense-plain', 'direct', 'qcow2c', '-c', ...DIRECT),
  fromQcow2('dense-plain', 'qemu-parallel', 'qemu-img', '-c', ...PARALLEL),
  ...backup('dense-zlib'),
  fromQcow2('dense-zlib', 'recompress', 'qcow2c', '-c', '--recompress', ...DIRECT),
  restored('dense-zlib', 'qcow2c'),
  restored('dense-zlib', 'qemu-img'),
  restored('dense-zlib', 'qemu-img', ...PARALLEL),
  ...backup('ext4-zlib'),
  fromQcow2('chain', 'direct', 'qcow2c', '-c', ...DIRECT),
  fromQcow2('chain', 'recompress', 'qcow2c', '-c', '--recompress', ...DIRECT),
  fromQcow2('chain', 'qemu-parallel', 'qemu-img', '-c', ...PARALLEL),
  incremental(false),
  incremental(true),
  qcow2c('changes-only', 'direct', ...DIRECT),
  looking('qcow2c', 'check', 'ext4-zlib'),
  looking('qemu-img', 'check', 'ext4-zlib'),
  looking('qcow2c', 'compare', 'ext4-zlib', 'ext4'),
  looking('qemu-img', 'compare', 'ext4-zlib', 'ext4'),
  checksum('ext4-zlib'),
  rawSum('ext4-zlib'),
  startOfNode('ext4-zlib'),
  looking('qcow2c', 'check', 'mapped1t'),
  looking('qemu-img', 'check', 'mapped1t'),
  looking('qcow2c', 'compare', 'mapped1t', 'mapped1t-copy'),
  looking('qemu-img', 'compare', 'mapped1t', 'mapped1t-copy'),
  startOfNode('mapped1t'),
];
