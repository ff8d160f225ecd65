/**
 * The size of the layout itself, with the same compression as qemu-img's: level 6 in a 4 KiB window. Trailing normal
 * clusters follow a host cluster that compressed clusters need not fill; this may be the difference.
 */
import { stat } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { convert } from '../oracle/qemu-img.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk, makeSparseDisk, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const image = path('ours.qcow2');
const AS_QEMU = ['--engine', 'node', '-o', 'compression_level=6,compression_window_bits=12'];
const KIB = 1024;

beforeAll(async () => {
  await makeMixedDisk(path('mixed.raw'));
  // The worst for a layout: every second cluster of 64 KiB cannot be compressed.
  const text = textBytes(24 * 64 * KIB);
  const parts = Array.from({ length: 24 }, (_, index): [number, Uint8Array][] => [
    [2 * index * 64 * KIB, text.subarray(index * 64 * KIB, (index + 1) * 64 * KIB)],
    [(2 * index + 1) * 64 * KIB, randomBytes(64 * KIB, index)],
  ]);
  await makeSparseDisk(path('alternating.raw'), 48 * 64 * KIB, parts.flat());
});

test.each([
  ['mixed', '4k', 0],
  ['mixed', '64k', 64 * KIB],
  ['mixed', '2M', 0],
  ['alternating', '64k', 0],
  ['alternating', '4k', 0],
])(
  '%s disk, clusters of %s: not larger than qemu-img’s image, and %i bytes',
  async (disk, clusterSize, more) => {
    const raw = path(`${disk}.raw`);
    const theirs = path('theirs.qcow2');
    await convert(['-c', '-o', `cluster_size=${clusterSize}`], [raw], theirs);
    await cliOk(['convert', '-c', ...AS_QEMU, '-o', `cluster_size=${clusterSize}`, raw, image]);
    await expectGoodImage(image, raw);
    expect((await stat(image)).size).toBeLessThanOrEqual((await stat(theirs)).size + more);
  },
);
