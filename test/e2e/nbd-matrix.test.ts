/**
 * Images of many kinds through qemu-nbd: the file's bytes as they are, read as qcow2 here, and the disk that qemu-nbd
 * makes of them. Each result is that of a file with the same content, byte for byte.
 */
import { readFile, rm } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { whileQemuNbd } from '../oracle/nbd-server.js';
import { runOk } from '../oracle/run.js';
import { sample, TESTS_ALL } from '../stage.js';
import { cli } from './cli.js';
import { copyImages, filesOf, listImages } from './generated-images.js';
import { useScratch } from './scratch.js';
import { makeHoles, makeMixedDisk, patchworkBytes } from './source-images.js';

const path = useScratch();
const raws = {
  'mixed.raw': makeMixedDisk,
  'patchwork.raw': (file: string) => makeHoles(file, patchworkBytes(5_000_000)),
};
/** Images that name no other file: a server knows no directory. */
const images = listImages('^(clusters|refcounts|packed|plain|payloads)/').filter(
  ({ args, kinds, refused }) =>
    args.length === 0 && !refused && !kinds.includes('beyond-raw') && !kinds.includes('large'),
);

const tested = TESTS_ALL ? images : sample(images.slice(0, 16), 2);

const TARGETS: readonly (readonly string[])[] = [
  ['-c', '-O', 'qcow2'],
  ['-c', '-O', 'qcow2', '-o', 'compression_type=zstd'],
  ['-O', 'raw'],
];

/** Those of them for the generated images. */
const few = TESTS_ALL ? TARGETS : sample(TARGETS, 1);

beforeAll(async () => {
  await copyImages(path(''), filesOf(tested));
  for (const [name, make] of Object.entries(raws)) await make(path(name));
});

/** Converts a file by name, and the same content through NBD. */
async function expectSame(
  file: string,
  uri: string,
  options: readonly string[],
  targets = TARGETS,
): Promise<void> {
  const [one, other] = [path('one'), path('other')];
  for (const target of targets) {
    for (const [source, result] of [
      [file, one],
      [uri, other],
    ] as const) {
      const { status, stderr } = await cli(['convert', ...target, ...options, source, result]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: expect.not.stringContaining('Could not') });
    }
    expect((await readFile(one)).equals(await readFile(other)), target.join(' ')).toBe(true);
    await rm(one);
    await rm(other);
  }
}

describe('raw files', () => {
  test.each(Object.keys(raws))('%s', async (name) => {
    await whileQemuNbd(path('s'), ['-r', '-e', '4', '-f', 'raw', path(name)], ({ uri }) =>
      expectSame(path(name), uri(), ['-f', 'raw']),
    );
  });
});

describe('generated images', () => {
  test('are at least 60', () => expect(images.length).toBeGreaterThanOrEqual(60));

  test.each(tested)('$name', async ({ file }) => {
    await whileQemuNbd(path('s'), ['-r', '-e', '4', '-f', 'raw', path(file)], ({ uri }) =>
      expectSame(path(file), uri(), ['-f', 'qcow2'], few),
    );
    const disk = path('disk.raw');
    await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', path(file), disk]);
    await whileQemuNbd(path('s'), ['-r', '-e', '4', '-f', 'qcow2', path(file)], ({ uri }) =>
      expectSame(disk, uri(), ['-f', 'raw'], few),
    );
  });
});
