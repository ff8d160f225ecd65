/**
 * Every variant of the format, on disks that mix text, zeros, random bytes and holes: a large disk, and a small one for
 * variants in version or refcount width only.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { info } from '../oracle/qemu-img.js';
import { sample } from '../stage.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeHoles, makeMixedDisk, patchworkBytes } from './source-images.js';

const path = useScratch();
const mixed = path('mixed.raw');
const patchwork = path('patchwork.raw');
/** Not of whole clusters, and more than one work item. */
const PATCHWORK_BYTES = 2 * 2 ** 20 + 1536;
beforeAll(async () => {
  await makeMixedDisk(mixed);
  await makeHoles(patchwork, patchworkBytes(PATCHWORK_BYTES));
});

const CLUSTER_SIZES = Array.from({ length: 13 }, (_, power) => 512 << power);
const REFCOUNT_BITS = [1, 2, 4, 8, 16, 32, 64];
const [NARROWEST, WIDEST] = [1, 64];

type Wanted = Record<string, string | number>;

async function convertAndJudge(raw: string, flags: string[], wanted: Wanted) {
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

const large = (flags: string[], wanted: Wanted) => convertAndJudge(mixed, flags, wanted);
const small = (flags: string[], wanted: Wanted) => convertAndJudge(patchwork, flags, wanted);

/** Every width with every cluster size: half of them compressed with zlib, the others with zstd. */
function widthsFor(clusterSize: number, compressionType: string): number[] {
  const parity = (Math.log2(clusterSize) + (compressionType === 'zlib' ? 0 : 1)) % 2;
  return REFCOUNT_BITS.filter((_, index) => index % 2 === parity);
}

describe.each(sample(CLUSTER_SIZES, 2, 3))('clusters of %i bytes', (cluster_size) => {
  test('version 2, compressed with zlib', () => small(['-c'], { cluster_size, compat: '0.10' }));

  test('version 2, normal clusters', () => small([], { cluster_size, compat: '0.10' }));

  test.each(['zlib', 'zstd'])('version 3, compressed with %s', async (compression_type) => {
    const wanted = { cluster_size, compat: '1.1', compression_type };
    for (const refcount_bits of sample(widthsFor(cluster_size, compression_type), 1)) {
      await small(['-c'], { ...wanted, refcount_bits });
    }
    const refcount_bits = compression_type === 'zlib' ? WIDEST : NARROWEST;
    await (compression_type === 'zlib' ? large : small)(['-c'], { ...wanted, refcount_bits });
  });

  test('version 3, normal clusters, the narrowest and the widest refcounts', async () => {
    await small([], { cluster_size, compat: '1.1', refcount_bits: NARROWEST });
    await large([], { cluster_size, compat: '1.1', refcount_bits: WIDEST });
  });
});
