/**
 * The ways through a conversion that the sweep goes: every kind of source, target and cache mode, each with as few
 * system calls as will do.
 */
import * as fs from 'node:fs';
import { join } from 'node:path';
import type { ConvertOptions } from '../../src/convert/options.js';

/** Where files are. */
export interface Place {
  source(name: string): string;
  /** The only file of the directory that holds the target. */
  out(name: string): string;
}

export interface SweptPath {
  readonly name: string;
  /** Whether real worker threads do the work. */
  readonly threads?: boolean;
  /** Content of the target's directory before; default: an old target. */
  prepare?(place: Place): void;
  /** Called for each conversion. */
  options(place: Place): ConvertOptions;
  /** Written in place: a failure may leave any bytes after the old ones. */
  readonly inPlace?: boolean;
  /** A failed conversion may remove this file: an older one's leftover. */
  readonly leftover?: string;
  /** The source that comes as a stream. */
  readonly stream?: string;
  /** A file that has its name already when the target cannot be renamed: a data file. */
  readonly namedFirst?: string;
  /** The file that the target's name leads to: errors name the target. */
  readonly linked?: string;
  /** Whether the conversion fails when no system call does. */
  readonly refused?: boolean;
}

const LEFTOVER = '.target.qcow2c.tmp';
const OLD = 'what was there before';
/** A few host clusters of 4 KiB: everything goes through the cache in many writes. */
const CREATE = { clusterSize: 4096 };
const SMALL_CACHE = 16384;
/** What a stream is called. */
export const STREAM = 'standard input';

/** A conversion of `name` to compressed qcow2. */
const packed =
  (name: string, more: Partial<ConvertOptions> = {}) =>
  (place: Place): ConvertOptions => ({
    sources: [place.source(name)],
    sourceFormat: name.endsWith('.raw') ? 'raw' : 'qcow2',
    target: place.out('target'),
    targetFormat: 'qcow2',
    compress: true,
    create: CREATE,
    compressedCacheSize: SMALL_CACHE,
    threads: 1,
    ...more,
  });

/** The same with nothing compressed. */
const plain = (name: string, more: Partial<ConvertOptions> = {}) =>
  packed(name, { compress: false, compressedCacheSize: undefined, ...more });

const raw = (name: string, more: Partial<ConvertOptions> = {}) =>
  plain(name, { targetFormat: 'raw', create: {}, ...more });

/** A pipe that holds all of a disk already. */
function filledPipe(place: Place): number {
  const { O_RDONLY, O_NONBLOCK, O_WRONLY } = fs.constants;
  const stream = fs.openSync(place.source('pipe'), O_RDONLY | O_NONBLOCK);
  const writer = fs.openSync(place.source('pipe'), O_WRONLY);
  fs.writeSync(writer, fs.readFileSync(place.source('short.raw')));
  fs.closeSync(writer);
  return stream;
}

function openFile(place: Place): number {
  return fs.openSync(place.source('short.raw'), 'r');
}

export const SWEPT_PATHS: readonly SweptPath[] = [
  { name: 'raw to zlib, direct', options: packed('disk.raw') },
  {
    name: 'raw to zstd, buffered',
    options: packed('long.raw', {
      create: { ...CREATE, compressionType: 'zstd' },
      targetCache: 'writeback',
    }),
  },
  { name: 'raw to zlib, never synced', options: packed('disk.raw', { targetCache: 'unsafe' }) },
  {
    name: 'raw past the page cache to zlib without a cache, synced with each write',
    options: packed('disk.raw', {
      sourceCache: 'none',
      targetCache: 'directsync',
      compressedCacheSize: 0,
    }),
  },
  { name: 'raw to zlib, with worker threads', threads: true, options: packed('long.raw', { threads: 2 }) },
  { name: 'raw to plain qcow2, direct', options: plain('disk.raw') },
  { name: 'raw to raw, direct', options: raw('disk.raw') },
  {
    name: 'raw to raw, buffered, with worker threads',
    threads: true,
    options: raw('long.raw', { targetCache: 'writeback', threads: 2 }),
  },
  { name: 'plain qcow2 to zlib', options: packed('plain.qcow2') },
  {
    name: 'plain qcow2 past the page cache to raw',
    options: raw('plain.qcow2', { sourceCache: 'none' }),
  },
  { name: 'compressed qcow2, copied as it is', options: packed('packed.qcow2') },
  {
    name: 'compressed qcow2, copied as it is, with worker threads',
    threads: true,
    options: packed('packed.qcow2'),
  },
  {
    name: 'zstd to zlib',
    options: packed('zstd.qcow2', { recompress: true, targetCache: 'writeback' }),
  },
  { name: 'compressed qcow2 to raw', options: raw('packed.qcow2') },
  { name: 'a chain of three to zlib', options: packed('top.qcow2') },
  {
    name: 'a chain of three to raw, with worker threads',
    threads: true,
    options: raw('top.qcow2'),
  },
  { name: 'an external data file to zlib', options: packed('external.qcow2') },
  {
    name: 'raw to an external data file',
    options: (place) => plain('disk.raw', { create: { ...CREATE, dataFile: place.out('data') } })(place),
    namedFirst: 'data',
  },
  {
    name: 'a pipe to zlib',
    stream: 'pipe',
    options: (place) =>
      packed('short.raw', { sources: [{ stream: filledPipe(place), name: STREAM }] })(place),
  },
  {
    name: 'a pipe to zlib, with worker threads',
    stream: 'pipe',
    threads: true,
    options: (place) =>
      packed('short.raw', { sources: [{ stream: filledPipe(place), name: STREAM }] })(place),
  },
  {
    name: 'a file as a stream to raw, verified',
    stream: 'short.raw',
    options: (place) =>
      raw('short.raw', { sources: [{ stream: openFile(place), name: STREAM }], verify: true })(place),
  },
  {
    name: 'several sources to zlib',
    options: (place) =>
      packed('', {
        sources: [
          { file: place.source('short.raw'), format: 'raw' },
          { file: place.source('plain.qcow2'), format: 'qcow2' },
          { file: place.source('disk.raw'), format: 'raw' },
        ],
      })(place),
  },
  { name: 'a snapshot to zlib', options: packed('snapshots.qcow2', { snapshot: { name: 'before' } }) },
  {
    name: 'bitmaps and all to plain qcow2',
    options: plain('bitmaps.qcow2', { bitmaps: 'all' }),
  },
  {
    name: 'an overlay over a file of the same chain',
    options: (place) =>
      packed('top.qcow2', {
        create: { ...CREATE, backingFile: place.source('disk.raw'), backingFormat: 'raw' },
      })(place),
  },
  {
    name: 'an overlay over another file',
    options: (place) =>
      plain('disk.raw', {
        create: { ...CREATE, backingFile: place.source('plain.qcow2'), backingFormat: 'qcow2' },
      })(place),
  },
  {
    name: 'an incremental from a bitmap, verified',
    options: (place) =>
      packed('bitmaps.qcow2', {
        bitmap: 'since',
        create: { ...CREATE, backingFile: place.source('disk.raw'), backingFormat: 'raw' },
        verify: true,
      })(place),
  },
  { name: 'raw to zlib, verified', options: packed('disk.raw', { verify: true }) },
  {
    name: 'plain qcow2 to raw, buffered, verified',
    options: raw('plain.qcow2', { verify: true, targetCache: 'writeback' }),
  },
  {
    name: 'a chain to zstd, buffered, verified, with worker threads',
    threads: true,
    options: packed('top.qcow2', {
      create: { ...CREATE, compressionType: 'zstd' },
      targetCache: 'writeback',
      verify: true,
    }),
  },
  {
    name: 'raw to an external data file, verified',
    options: (place) =>
      plain('disk.raw', { create: { ...CREATE, dataFile: place.out('data') }, verify: true })(place),
    namedFirst: 'data',
  },
  {
    name: 'preallocated qcow2',
    options: plain('short.raw', { create: { ...CREATE, preallocation: 'falloc' } }),
  },
  { name: 'preallocated raw', options: raw('short.raw', { create: { preallocation: 'full' } }) },
  {
    name: 'over an older image, without a stated format',
    prepare: (place) => fs.writeFileSync(place.out('target'), Buffer.from(`QFI\xfb${OLD}`, 'latin1')),
    options: packed('short.raw', { targetFormat: undefined }),
  },
  { name: 'a target that is new', prepare: () => {}, options: packed('short.raw') },
  {
    name: 'a target behind a symbolic link',
    prepare: (place) => {
      fs.writeFileSync(place.out('linked'), OLD);
      fs.symlinkSync('linked', place.out('target'));
    },
    linked: 'linked',
    options: packed('short.raw'),
  },
  {
    name: 'a target behind a symbolic link to a missing file',
    prepare: (place) => fs.symlinkSync('linked', place.out('target')),
    linked: 'linked',
    options: packed('short.raw'),
  },
  {
    name: 'a target that only its owner may read',
    prepare: (place) => fs.writeFileSync(place.out('target'), OLD, { mode: 0o600 }),
    options: packed('short.raw'),
  },
  {
    name: 'a target with the temporary file of a killed run',
    prepare: (place) => {
      fs.writeFileSync(place.out('target'), OLD);
      fs.writeFileSync(place.out(LEFTOVER), 'half an image');
    },
    leftover: LEFTOVER,
    options: packed('short.raw'),
  },
  {
    name: 'into an existing qcow2 image',
    prepare: (place) => fs.copyFileSync(place.source('empty.qcow2'), place.out('target')),
    options: packed('disk.raw', { keepTarget: true, create: undefined }),
    inPlace: true,
  },
  {
    name: 'into an existing qcow2 image with data and snapshots',
    prepare: (place) => fs.copyFileSync(place.source('snapshots.qcow2'), place.out('target')),
    options: packed('disk.raw', { keepTarget: true, create: undefined }),
    inPlace: true,
  },
  {
    name: 'a new image in an empty file',
    prepare: (place) => fs.writeFileSync(place.out('target'), ''),
    options: packed('disk.raw', { keepTarget: true }),
    inPlace: true,
  },
  {
    name: 'into an existing raw disk',
    prepare: (place) => fs.writeFileSync(place.out('target'), Buffer.alloc(102_400, 7)),
    options: raw('disk.raw', { keepTarget: true }),
    inPlace: true,
  },
  {
    name: 'a source that is corrupt at its end',
    options: packed('corrupt.qcow2', { recompress: true }),
    refused: true,
  },
];

/** Makes the target's directory in its state before a conversion. */
export function prepareTarget({ prepare }: SweptPath, place: Place): void {
  const directory = place.out('');
  for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name));
  if (prepare === undefined) fs.writeFileSync(place.out('target'), OLD);
  else prepare(place);
}
