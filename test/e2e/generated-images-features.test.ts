/** Images with what a header or a table can say besides the geometry, converted in every way. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test, vi } from 'vitest';
import {
  expectEveryConversion,
  expectKinds,
  expectRefusal,
  listImages,
  makeImages,
} from './generated-images.js';
import { useScratch } from './scratch.js';

vi.mock('../../src/workers/pool.js', () => import('../fuzz/in-thread-pool.js'));

const ONLY = '^(subclusters|data-files|snapshots|features|bitmaps)/';
const images = listImages(ONLY);
const readable = images.filter(({ refused }) => !refused);
const path = useScratch();
beforeAll(() => makeImages(path('images'), ONLY));

describe('images with subclusters, data files, snapshots, bitmaps and flags', () => {
  test.each(readable)('$name', async (image) => {
    await expectKinds(path('images', image.file), image.kinds);
    await expectEveryConversion(path('images', image.file), image, readable.indexOf(image));
  });
});

test.each(images.filter(({ refused }) => refused))('nothing is made of $name', (image) =>
  expectRefusal(path('images', image.file), image.args),
);

test('the same images are made again, byte for byte', async () => {
  const only = '^(snapshots/512|bitmaps/granularities|features/killed-zstd|subclusters/16k-zstd)$';
  await makeImages(path('again'), only);
  for (const file of new Set(listImages(only).map((image) => image.file))) {
    const [first, second] = await Promise.all([
      readFile(path('images', file)),
      readFile(path('again', file)),
    ]);
    expect(second.equals(first)).toBe(true);
  }
});
