/** 1 TiB, nearly empty: only data is read, and the size costs only its tables. */
import { stat } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { map } from '../oracle/qemu-img.js';
import { cli, cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { dataRanges, makeSparseDisk, makeTebibyteDisk, TIB } from './source-images.js';

const path = useScratch();
const raw = path('tebibyte.raw');
beforeAll(() => makeTebibyteDisk(raw));

const CLUSTER = 65536;

test.each([
  ['zlib', ['-c']],
  ['zstd', ['-c', '-o', 'compression_type=zstd']],
  ['normal clusters', ['-O', 'qcow2']],
])(
  '%s: data at the start, in the middle and in the last byte, and no other cluster allocated',
  async (_, flags) => {
    const image = path('image.qcow2');
    await cliOk(['convert', ...flags, raw, image]);
    await expectGoodImage(image, raw);

    const allocated = (await map(image, 'qcow2')).filter((range) => range.present);
    const clusters = (await dataRanges(raw)).map(({ from, to }) => ({
      start: Math.floor(from / CLUSTER) * CLUSTER,
      end: Math.ceil(to / CLUSTER) * CLUSTER,
    }));
    expect(allocated.map(({ start, length }) => ({ start, end: start + length }))).toEqual(clusters);
    expect((await stat(image)).size).toBeLessThan(2 * 1024 * 1024);
  },
);

test('15 TiB without any data make an image of little more than its level 1 table', async () => {
  const empty = path('empty.raw');
  await makeSparseDisk(empty, 15 * TIB, []);
  await cliOk(['convert', '-c', empty, path('empty.qcow2')]);
  await expectGoodImage(path('empty.qcow2'), empty);
  expect((await stat(path('empty.qcow2'))).size).toBeLessThan(1024 * 1024);
});

test('a disk too large for its cluster size is refused with qemu-img’s advice before anything is written', async () => {
  const { status, stderr } = await cli(['convert', '-c', '-o', 'cluster_size=512', raw, path('small.qcow2')]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^qcow2c: .*larger cluster size.*\n$/);
  await expect(stat(path('small.qcow2'))).rejects.toThrow('ENOENT');
});
