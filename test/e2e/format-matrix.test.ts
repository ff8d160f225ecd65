/** Every shape of the format that can be asked for, on a disk that mixes text, zeros, random bytes and holes. */
import { beforeAll, describe, expect, test } from 'vitest';
import { info } from '../oracle/qemu-img.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
beforeAll(() => makeMixedDisk(raw));

const CLUSTER_SIZES = Array.from({ length: 13 }, (_, power) => 512 << power);
const REFCOUNT_BITS = [1, 2, 4, 8, 16, 32, 64];

async function convertAndJudge(flags: string[], wanted: Record<string, string | number>) {
  const image = path('image.qcow2');
  const { cluster_size, compat, refcount_bits, compression_type } = wanted;
  const options = Object.entries(wanted).map(([key, value]) => `${key}=${value}`);
  expect(await cliOk(['convert', ...flags, '-O', 'qcow2', '-o', options.join(), raw, image])).toBe('');
  const check = await expectGoodImage(image, raw);
  expect(check.compressedClusters > 0).toBe(flags.includes('-c'));
  expect(await info(image)).toMatchObject({
    clusterSize: cluster_size,
    compat,
    refcountBits: refcount_bits ?? 16,
    compressionType: compression_type ?? 'zlib',
  });
}

describe.each(CLUSTER_SIZES)('clusters of %i bytes', (cluster_size) => {
  test('version 2, compressed with zlib', () => convertAndJudge(['-c'], { cluster_size, compat: '0.10' }));

  test('version 2, normal clusters', () => convertAndJudge([], { cluster_size, compat: '0.10' }));

  test.each(['zlib', 'zstd'])(
    'version 3, compressed with %s, every refcount width',
    async (compression_type) => {
      for (const refcount_bits of REFCOUNT_BITS) {
        await convertAndJudge(['-c'], { cluster_size, compat: '1.1', refcount_bits, compression_type });
      }
    },
  );

  test('version 3, normal clusters, the narrowest and the widest refcounts', async () => {
    for (const refcount_bits of [1, 64]) {
      await convertAndJudge([], { cluster_size, compat: '1.1', refcount_bits });
    }
  });
});
