/** Images with every feature of header and tables besides the geometry, converted in every way. */
import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import {
  copyImages,
  expectEveryConversion,
  expectKinds,
  expectRefusal,
  filesOf,
  generateImages,
  listImages,
  sampleImages,
} from './generated-images.js';
import { useScratch } from './scratch.js';

const ONLY = '^(subclusters|data-files|snapshots|features|bitmaps)/';
const images = listImages(ONLY);
const readable = sampleImages(ONLY).filter(({ refused }) => !refused);
const refused = images.filter((image) => image.refused);
const path = useScratch();
const again = listImages('^(bitmaps/granularities|features/killed-zstd)$').map(({ file }) => file);
beforeAll(() => copyImages(path('images'), [...filesOf([...readable, ...refused]), ...again]));

describe('images with subclusters, data files, snapshots, bitmaps and flags', () => {
  test.each(readable)('$name', async (image) => {
    await expectKinds(path('images', image.file), image.kinds);
    await expectEveryConversion(path('images', image.file), image);
  });
});

test.each(refused)('nothing is made of $name', (image) =>
  expectRefusal(path('images', image.file), image.args),
);

test('the same images are made again, byte for byte', async () => {
  await generateImages(path('again'), again);
  for (const file of again) {
    const [first, second] = await Promise.all([
      readFile(path('images', file)),
      readFile(path('again', file)),
    ]);
    expect(second.equals(first)).toBe(true);
  }
});
