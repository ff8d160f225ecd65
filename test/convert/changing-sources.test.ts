/** A change of any file that a conversion reads is an error; the target never mixes old and new data. */
import {
  appendFileSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { basename } from 'node:path';
import { beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, namesBeside, randomBytes } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';
import { clockTick } from '../raw/clock-tick.js';
import { shortened } from '../stage.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const MIB = 1024 * 1024;
const target = path('out', 'target.qcow2');

// Each is made once, and copied to where it may change.
beforeAll(async () => {
  mkdirSync(path('made'));
  const made = (name: string) => path('made', name);
  // More items than are ever under way at once.
  const parts = Array.from({ length: 10 }, (_, item) => [item * 2 * MIB, randomBytes(70_000, item)] as const);
  await makeSparseDisk(made('base.raw'), 20 * MIB, parts);
  const image = (...args: string[]) => runOk('qemu-img', args, { cwd: path('made') });
  await image('convert', '-f', 'raw', '-O', 'qcow2', 'base.raw', 'plain.qcow2');
  await image('convert', '-f', 'raw', '-O', 'qcow2', '-c', 'base.raw', 'packed.qcow2');
  copyFileSync(made('plain.qcow2'), made('bitmaps.qcow2'));
  await image('bitmap', '--add', 'bitmaps.qcow2', 'since');
  await image('create', '-f', 'qcow2', '-b', 'base.raw', '-F', 'raw', 'middle.qcow2');
  await image('create', '-f', 'qcow2', '-b', 'middle.qcow2', '-F', 'qcow2', 'top.qcow2');
  const external = `data_file=${path('files', 'data.raw')}`;
  mkdirSync(path('files'));
  await image('convert', '-f', 'raw', '-O', 'qcow2', '-o', external, 'base.raw', 'external.qcow2');
  copyFileSync(path('files', 'data.raw'), made('data.raw'));
  for (const name of readdirSync(path('made'))) restore(name);
});
const restore = (name: string) => copyFileSync(path('made', name), path('files', name));
beforeEach(() => {
  mkdirSync(path('out'), { recursive: true });
  writeFileSync(target, 'the old target');
});

const of = (name: string): Partial<ConvertOptions> => ({ sources: [path('files', name)] });
const WAYS: readonly (readonly [what: string, changing: string, options: Partial<ConvertOptions>])[] = [
  ['a qcow2 image', 'plain.qcow2', of('plain.qcow2')],
  ['a compressed image', 'packed.qcow2', of('packed.qcow2')],
  ['an image whose bitmaps are copied', 'bitmaps.qcow2', { ...of('bitmaps.qcow2'), bitmaps: 'all' }],
  ['the image in the middle of a chain', 'middle.qcow2', of('top.qcow2')],
  ['the raw disk under a chain', 'base.raw', of('top.qcow2')],
  ['an external data file', 'data.raw', of('external.qcow2')],
  [
    'the second of several sources',
    'packed.qcow2',
    { sources: [path('files', 'plain.qcow2'), path('files', 'packed.qcow2')] },
  ],
  [
    "the target's backing file",
    'base.raw',
    { ...of('packed.qcow2'), create: { backingFile: path('files', 'base.raw'), backingFormat: 'raw' } },
  ],
  ['a source during verification', 'plain.qcow2', { ...of('plain.qcow2'), verify: true }],
];

/** Writes a few bytes near the end, which the disk ends with too. */
function overwrite(file: string): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Buffer.from('changed'), 0, 7, statSync(file).size - 5000);
  closeSync(descriptor);
}

const CHANGES: readonly (readonly [how: string, change: (file: string) => void, words: RegExp])[] = [
  ['is written to', overwrite, /' was written to while it was being read$/],
  [
    'is written to and has its modification time restored',
    (file) => {
      const { atime, mtime } = statSync(file);
      clockTick(path('out', 'clock'));
      overwrite(file);
      utimesSync(file, atime, mtime);
    },
    /' was changed, .* while it was being read$/,
  ],
  ['grows', (file) => appendFileSync(file, 'more'), /' became \d+ bytes long while it was being read$/],
  [
    'shrinks',
    (file) => truncateSync(file, 300_000),
    /' became (300000 bytes long while it was being read$|shorter while it was being read: )/,
  ],
  [
    'is truncated to 0 bytes',
    (file) => truncateSync(file, 0),
    /' became (0 bytes long while it was being read$|shorter while it was being read: )/,
  ],
];

/** Those that are read in different ways; of the others one change is enough. */
const READ_APART = ['a qcow2 image', 'a compressed image', 'the raw disk under a chain'];

describe.each(shortened(WAYS, 2))('%s', (what, changing, options) => {
  test.each(READ_APART.includes(what) ? CHANGES : CHANGES.slice(0, 1))(
    'that %s ends the conversion, and the old target is unchanged',
    async (_, change, words) => {
      const file = path('files', changing);
      onTestFinished(() => restore(changing));
      // A whole number of seconds can be set back without loss.
      utimesSync(file, 1_700_000_000, 1_700_000_000);
      const before = await namesBeside(target);
      let changed = false;
      const error = await convertHere({
        sources: [],
        target,
        targetFormat: 'qcow2',
        compress: options.create === undefined,
        sourceFormat: 'qcow2',
        threads: 1,
        onProgress: () => {
          if (!changed) change(file);
          changed = true;
        },
        ...options,
      }).catch((reason: unknown) => reason);
      expect(error).toMatchObject({
        code: 'ERR_SOURCE_CHANGED',
        file: expect.stringMatching(new RegExp(`${basename(file)}$`)),
        message: expect.stringMatching(words),
      });
      expect(await namesBeside(target)).toEqual(before);
    },
  );
});
