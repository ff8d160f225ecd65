/**
 * The valid images that mutants are made of: small ones of every kind, made by fixtures/make-images.js, with all
 * files they lead to. A mutant is made in place and undone.
 */
import * as fs from 'node:fs';
import { dirname, isAbsolute, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSnapshot } from '../../src/cli/options/snapshot-option.js';
import type { SnapshotSelector } from '../../src/qcow2/snapshot-table.js';
import { runOk } from '../oracle/run.js';
import { locate, namesOf } from './image-sites.js';
import type { BaseFile, Mutation } from './mutator.js';

const MAKE_IMAGES = fileURLToPath(new URL('../../fixtures/make-images.js', import.meta.url));

/** Of the images of fixtures/make-images.js. The weights keep the larger disks from taking all the time. */
const WEIGHTS: Readonly<Record<string, number>> = {
  'clusters/512-v2-zlib': 4,
  'clusters/512-v3-zlib': 4,
  'clusters/1k-v3-zstd': 5,
  'clusters/8k-v2-zlib': 4,
  'clusters/8k-v3-zstd': 5,
  'clusters/2m-v3-zstd': 1,
  'subclusters/states-16k': 4,
  'subclusters/16k-zlib': 3,
  'subclusters/over-raw-16k': 4,
  'data-files/512': 3,
  'data-files/extended-l2-raw': 3,
  'data-files/over-a-backing-file': 1,
  'snapshots/512': 5,
  'snapshots/resized': 4,
  'bitmaps/clusters-of-512': 5,
  'bitmaps/extended-l2': 4,
  'features/short-header': 1,
  'layout/tables-at-the-end-512': 3,
  'layout/cut-inside-the-last-cluster': 1,
  'layout/preallocated-metadata-512': 2,
  'sizes/nothing': 2,
  'sizes/one-sector-2m': 2,
  'sizes/1-tebibyte': 1,
  'sizes/1-gibibyte-clusters-of-512': 2,
  'names/same-directory': 4,
  'names/unstated-qcow2': 4,
  'names/loop-of-three': 2,
  'chains/depth-3': 3,
  'chains/overlay-smaller-512': 3,
  'chains/zlib-under-zstd': 3,
  'chains/subclusters-over-compressed-4k': 3,
};

export interface BaseImage {
  readonly name: string;
  readonly weight: number;
  /** The image itself first. */
  readonly files: readonly BaseFile[];
  /** The states that can be read: undefined is the present one. */
  readonly reads: readonly (Read | undefined)[];
  /** Whether it leads to other files. */
  readonly namesFiles: boolean;
  readonly hasBitmaps: boolean;
  /** Bytes. */
  readonly clusterSize: number;
  readonly compressionType: 'zlib' | 'zstd';
  /** Not even the valid image is read: its chain is a loop. */
  readonly refused: boolean;
}

/** An internal snapshot, for the library and as qemu-img's -l. */
export interface Read {
  readonly selector: SnapshotSelector;
  readonly word: string;
}

interface ManifestEntry {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly kinds: readonly string[];
  readonly refused: boolean;
}

/** Makes the images in `directory`: all of them, or those that are wanted. */
export async function makeBaseImages(
  directory: string,
  wanted: ReadonlySet<string> = new Set(Object.keys(WEIGHTS)),
): Promise<readonly BaseImage[]> {
  const only = `^(${[...wanted].join('|')})$`;
  await runOk(process.execPath, [MAKE_IMAGES, directory, '--only', only]);
  const manifest = JSON.parse(fs.readFileSync(join(directory, 'manifest.json'), 'utf8')) as ManifestEntry[];
  return [...wanted].map((name) => {
    const entries = manifest.filter((entry) => entry.name === name || entry.name.startsWith(`${name}/`));
    const [first] = entries;
    if (first === undefined) throw new Error(`there is no image ${name}`);
    const files = filesOf(directory, first.file);
    const { bytes, sites } = files[0]!;
    return {
      name,
      weight: WEIGHTS[name] ?? 1,
      files,
      reads: entries.map(({ args }) => {
        const word = args[args.indexOf('-l') + 1];
        return args.includes('-l') && word !== undefined ? { selector: readSnapshot(word), word } : undefined;
      }),
      namesFiles: files.length > 1,
      hasBitmaps: first.kinds.includes('bitmaps'),
      clusterSize: 2 ** sites!.clusterBits,
      compressionType: sites!.version === 3 && bytes[104] === 1 ? 'zstd' : 'zlib',
      refused: first.refused,
    };
  });
}

/** Copies the image and its files; disks that many images share are not copied. */
function filesOf(directory: string, first: string): BaseFile[] {
  const found = new Map<string, BaseFile>();
  const wanted = [first];
  for (let name = wanted.shift(); name !== undefined; name = wanted.shift()) {
    if (found.has(name)) continue;
    const bytes = fs.readFileSync(join(directory, name));
    found.set(name, { name, bytes, sites: locate(bytes) });
    wanted.push(...namedBy(bytes, name).filter((next) => !next.startsWith('content/')));
  }
  return [...found.values()];
}

/** The files that the image `bytes`, called `name`, names, resolved. */
export function namedBy(bytes: Buffer, name: string): string[] {
  const { backing, dataFile } = namesOf(bytes);
  return [backing, dataFile]
    .filter((named) => named !== undefined && named !== '')
    .map((named) => named!.replace(/^file:/, ''))
    .map((named) => (isAbsolute(named) ? named : normalize(join(dirname(name), named))));
}

/** Makes the mutant in place. @returns a function that undoes it */
export function applyMutations(
  directory: string,
  files: readonly BaseFile[],
  mutations: readonly Mutation[],
): () => void {
  for (const mutation of mutations) {
    const path = join(directory, mutation.file);
    if ('length' in mutation) fs.truncateSync(path, mutation.length);
    else withFile(path, (fd) => write(fd, Buffer.from(mutation.hex, 'hex'), mutation.at));
  }
  return () => {
    for (const { name, bytes } of files) {
      const own = mutations.filter(({ file }) => file === name);
      if (own.length === 0) continue;
      withFile(join(directory, name), (fd) => {
        for (const mutation of own) {
          // Restores lost parts of a shortened file, and all written bytes.
          const at = Math.min('length' in mutation ? mutation.length : mutation.at, bytes.length);
          const end = 'length' in mutation ? bytes.length : at + mutation.hex.length / 2;
          write(fd, bytes.subarray(at, end), at);
        }
        fs.ftruncateSync(fd, bytes.length);
      });
    }
  };
}

function withFile(path: string, use: (descriptor: number) => void): void {
  const descriptor = fs.openSync(path, 'r+');
  try {
    use(descriptor);
  } finally {
    fs.closeSync(descriptor);
  }
}

function write(descriptor: number, bytes: Buffer, at: number): void {
  if (bytes.length > 0) fs.writeSync(descriptor, bytes, 0, bytes.length, at);
}
