// The sources of the benchmark. Each is made once, on first use, and kept; a half made one never has its name.
import { spawnSync } from 'node:child_process';
import { createCipheriv } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { SYSTEM_BYTES, systemFiles } from './system-files.js';

const MiB = 2 ** 20;
const GiB = 2 ** 30;
const TiB = 2 ** 40;

/** @param {string} path @param {(descriptor: number) => void} fill */
function writeFile(path, fill) {
  const descriptor = openSync(path, 'wx');
  try {
    fill(descriptor);
  } finally {
    closeSync(descriptor);
  }
}

/** @param {string} source @param {number} length bytes from its start */
function head(source, length) {
  const bytes = Buffer.alloc(length);
  const descriptor = openSync(source, 'r');
  readSync(descriptor, bytes, 0, length, 0);
  closeSync(descriptor);
  return bytes;
}

/** @param {string[]} argv */
function call([program, ...args]) {
  const { status, error, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${program} failed: ${error?.message ?? stderr.trim()}`);
}

/** The dirty bitmap of the changed image, and how many pieces of 1 MiB it lists. */
export const BITMAP = 'changes';
const CHANGES = 1024;

const TO_QCOW2 = ['convert', '-f', 'raw', '-O', 'qcow2'];

/**
 * An overlay that takes 1 MiB of every 16 MiB from elsewhere in `content`.
 * @param {string} path @param {string} backing @param {string} content a raw file @param {number} at MiB
 */
function makeOverlay(path, backing, content, at) {
  call(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', backing, '-F', 'qcow2', path]);
  const piece = `${path}.piece`;
  const commands = [];
  for (let block = 0; block < Math.floor(SYSTEM_BYTES / MiB / 16) - 1; block++) {
    commands.push('-c', `write -q -s ${piece} ${block * 16 + at}M 1M`);
  }
  writeFile(piece, (descriptor) => writeFileSync(descriptor, head(content, MiB)));
  call(['qemu-io', '-f', 'qcow2', ...commands, path]);
  rmSync(piece);
}

/**
 * What each source is, and how it is made under `path`; `corpus` gives the path of another, made first. Raw
 * unless it says otherwise.
 * @type {Record<string, { what: string, format?: 'qcow2',
 *   make: (path: string, corpus: (name: string) => string) => void }>}
 */
const MAKERS = {
  dense: {
    what: `regular files of /usr (libraries, programs, data, documentation) one after the other, ${SYSTEM_BYTES / 1e6} MB, no holes`,
    make(path) {
      writeFile(path, (descriptor) => {
        for (const file of systemFiles()) writeFileSync(descriptor, readFileSync(file.path));
        ftruncateSync(descriptor, SYSTEM_BYTES);
      });
    },
  },
  ext4: {
    what: 'the same files in an ext4 file system of 4 GiB (mkfs.ext4 -d), sparse',
    make(path) {
      const tree = `${path}.tree`;
      rmSync(tree, { recursive: true, force: true });
      for (const file of systemFiles()) {
        mkdirSync(join(tree, dirname(file.path)), { recursive: true });
        copyFileSync(file.path, join(tree, file.path));
      }
      writeFile(path, (descriptor) => ftruncateSync(descriptor, 4 * GiB));
      call(['mkfs.ext4', '-q', '-F', '-U', '00000000-0000-4000-8000-000000000001', '-d', tree, path]);
      rmSync(tree, { recursive: true });
    },
  },
  ones: {
    what: '1000 MiB of the byte 0x01',
    make(path) {
      const block = Buffer.alloc(MiB, 1);
      writeFile(path, (descriptor) => {
        for (let n = 0; n < 1000; n++) writeFileSync(descriptor, block);
      });
    },
  },
  random: {
    what: '512 MiB of an AES-128-CTR key stream (fixed key)',
    make(path) {
      const stream = createCipheriv('aes-128-ctr', Buffer.alloc(16, 'qcow2c'), Buffer.alloc(16));
      const zeros = Buffer.alloc(MiB);
      writeFile(path, (descriptor) => {
        for (let n = 0; n < 512; n++) writeFileSync(descriptor, stream.update(zeros));
      });
    },
  },
  empty15t: {
    what: '15 TiB, one hole',
    make(path) {
      writeFile(path, (descriptor) => ftruncateSync(descriptor, 15 * TiB));
    },
  },
  sparse1t: {
    what: '1 TiB with 1 MiB of the dense file at the start, in the middle and at the end',
    make(path, corpus) {
      const bytes = head(corpus('dense'), MiB);
      writeFile(path, (descriptor) => {
        for (const offset of [0, TiB / 2, TiB - MiB]) writeSync(descriptor, bytes, 0, MiB, offset);
      });
    },
  },
  ext4in1t: {
    what: 'the ext4 disk, lengthened to 1 TiB by a hole',
    make(path, corpus) {
      call(['cp', '--sparse=auto', corpus('ext4'), path]);
      truncateSync(path, TiB);
    },
  },
  small: {
    what: 'the first MiB of the dense file',
    make(path, corpus) {
      writeFile(path, (descriptor) => writeFileSync(descriptor, head(corpus('dense'), MiB)));
    },
  },
  'dense-plain': {
    what: 'the dense file as a qcow2 image that qemu-img made, not compressed',
    format: 'qcow2',
    make: (path, corpus) => call(['qemu-img', ...TO_QCOW2, corpus('dense'), path]),
  },
  'dense-zlib': {
    what: 'the dense file as a qcow2 image that qemu-img compressed (zlib)',
    format: 'qcow2',
    make: (path, corpus) => call(['qemu-img', ...TO_QCOW2, '-c', '-W', '-m', '16', corpus('dense'), path]),
  },
  'ext4-zlib': {
    what: 'the ext4 disk as a qcow2 image that qemu-img compressed (zlib)',
    format: 'qcow2',
    make: (path, corpus) => call(['qemu-img', ...TO_QCOW2, '-c', '-W', '-m', '16', corpus('ext4'), path]),
  },
  mapped1t: {
    what: 'a qcow2 image of 1 TiB whose first 16 GiB are mapped, to holes of its file (preallocation=metadata)',
    format: 'qcow2',
    make(path) {
      call(['qemu-img', 'create', '-q', '-f', 'qcow2', '-o', 'preallocation=metadata', path, '16G']);
      call(['qemu-img', 'resize', '-q', '-f', 'qcow2', path, '1T']);
    },
  },
  'mapped1t-copy': {
    what: 'a copy of that image',
    format: 'qcow2',
    make: (path, corpus) => call(['cp', '--sparse=always', corpus('mapped1t'), path]),
  },
  before100g: {
    what: 'a qcow2 image of 100 GiB without data: the backup that the incremental has as its backing file',
    format: 'qcow2',
    make: (path) => call(['qemu-img', 'create', '-q', '-f', 'qcow2', path, '100G']),
  },
  changed100g: {
    what: 'a qcow2 image of 100 GiB with a dirty bitmap of 64 KiB granules: 1 MiB of every 100 MiB has changed (1 %)',
    format: 'qcow2',
    make(path, corpus) {
      call(['qemu-img', 'create', '-q', '-f', 'qcow2', path, '100G']);
      call(['qemu-img', 'bitmap', '--add', '-g', '64k', '-f', 'qcow2', path, BITMAP]);
      const writes = Array.from({ length: CHANGES }, (_, n) => [
        ...['-c', `write -q -s ${corpus('small')} ${n * 100}M 1M`],
      ]);
      call(['qemu-io', '-f', 'qcow2', ...writes.flat(), path]);
    },
  },
  'changes-only': {
    what: 'the changes of that image, one after the other',
    make(path, corpus) {
      const piece = readFileSync(corpus('small'));
      writeFile(path, (descriptor) => {
        for (let n = 0; n < CHANGES; n++) writeFileSync(descriptor, piece);
      });
    },
  },
  chain: {
    what: 'an overlay over an overlay over the compressed dense file: each replaces 1 MiB of every 16 MiB',
    format: 'qcow2',
    make(path, corpus) {
      const middle = `${path}.middle`;
      rmSync(middle, { force: true });
      makeOverlay(middle, corpus('dense-zlib'), corpus('dense'), 0);
      makeOverlay(path, middle, corpus('dense'), 4);
    },
  },
};

/** @param {string} name @returns {'raw' | 'qcow2'} */
export function corpusFormat(name) {
  return MAKERS[name].format ?? 'raw';
}

/** @param {string} name @returns {string} what the corpus holds */
export function describeCorpus(name) {
  return MAKERS[name].what;
}

/**
 * @param {string} directory on a disk's file system @param {string} name
 * @param {(line: string) => void} say prints a line of progress
 * @returns {string} the path of the corpus, created if it does not exist
 */
export function corpus(directory, name, say) {
  const path = join(directory, `${name}.${corpusFormat(name)}`);
  if (existsSync(path)) return path;
  const unfinished = `${path}.part`;
  rmSync(unfinished, { force: true });
  say(`making ${path}: ${MAKERS[name].what}`);
  MAKERS[name].make(unfinished, (other) => corpus(directory, other, say));
  renameSync(unfinished, path);
  return path;
}
