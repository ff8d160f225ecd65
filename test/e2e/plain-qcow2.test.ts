/** Images of normal clusters: the ranges of qemu-img's, for every size of cluster and of zeros that are left out. */
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { runOk } from '../oracle/run.js';
import { decodeImage } from '../qcow2/image-decoder.js';
import { sample, shortened } from '../stage.js';
import { convertWithBoth, expectSameRanges, rangesOf } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeHoles, patchworkBytes } from './source-images.js';

const path = useScratch();
const bytes = patchworkBytes(3000 * 1024 + 512);
const full = path('full.raw');
const sparse = path('sparse.raw');
const compressed = path('compressed.qcow2');

beforeAll(async () => {
  await writeFile(full, bytes);
  await makeHoles(sparse, bytes);
  const options = ['-f', 'raw', '-O', 'qcow2', '-c', '-o', 'cluster_size=4k'];
  await runOk('qemu-img', ['convert', ...options, full, compressed]);
});

const GEOMETRIES = [
  'cluster_size=512',
  'cluster_size=4k',
  'cluster_size=64k',
  'cluster_size=2M',
  'cluster_size=16k,extended_l2=on',
  'cluster_size=64k,extended_l2=on',
  'compat=0.10',
];

describe.each(sample(GEOMETRIES, 2, 3))('-o %s has the ranges of qemu-img', (geometry) => {
  test.each([
    ['4k', 'raw', sparse],
    ['8k', 'raw', full],
    ['4k', 'qcow2', compressed],
  ])('with -S %s of a %s source', async (sparseSize, format, source) => {
    const args = ['-f', format, '-O', 'qcow2', '-o', geometry, '-S', sparseSize];
    await expectSameRanges(await convertWithBoth(args, [source], path('image')), 'qcow2');
  });
});

test.each(shortened(['cluster_size=4k', 'cluster_size=16k,extended_l2=on'] as const, 1))(
  '-S 0 allocates everything, and zeros larger than a cluster are kept below -S, with %s',
  async (geometry) => {
    for (const sparseSize of ['0', '1M']) {
      const args = ['-f', 'raw', '-O', 'qcow2', '-o', geometry, '-S', sparseSize];
      const both = await convertWithBoth(args, [full], path('image'));
      await expectSameRanges(both, 'qcow2');
      if (sparseSize === '0') {
        const all = { start: 0, depth: 0, present: true, zero: false, data: true };
        expect(await rangesOf(both.ours, 'qcow2')).toEqual([all]);
      }
    }
  },
);

describe('extended L2 entries', () => {
  test('of compressed clusters have no subclusters', async () => {
    for (const options of ['extended_l2=on', 'extended_l2=on,cluster_size=2M,compression_type=zstd']) {
      const image = path('compressed.ours');
      await cliOk(['convert', '-c', '-f', 'raw', '-O', 'qcow2', '-o', options, full, image]);
      await expectGoodImage(image, full);
      // It throws for a second word that is not 0.
      if (options.includes('zstd')) continue;
      const kinds = [...decodeImage(await readFile(image)).clusters.values()].map(({ kind }) => kind);
      expect(kinds).toContain('compressed');
    }
  });

  test('of normal clusters follow the specification', async () => {
    const image = path('normal.ours');
    await cliOk(['convert', '-f', 'raw', '-O', 'qcow2', '-o', 'extended_l2=on', full, image]);
    const { clusters, references, refcounts } = decodeImage(await readFile(image));
    expect(new Map(refcounts)).toEqual(new Map(references));
    const partly = [...clusters.values()].filter(({ subclusters }) => subclusters?.data !== 0xffffffff);
    expect(partly.length).toBeGreaterThan(0);
    expect(partly.every(({ subclusters }) => subclusters?.zero === 0)).toBe(true);
  });
});
