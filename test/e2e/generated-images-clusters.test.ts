/** Images of every geometry, with clusters of every type, read completely and converted in every way. */
import { beforeAll, describe, expect, test } from 'vitest';
import {
  copyImages,
  expectEveryConversion,
  expectKinds,
  filesOf,
  listImages,
  sampleImages,
} from './generated-images.js';
import { useScratch } from './scratch.js';

const ONLY = '^(clusters|refcounts|packed|plain|payloads)/';
const images = sampleImages(ONLY);
const path = useScratch();
beforeAll(() => copyImages(path(''), filesOf(images)));

describe('images by geometry and by their kinds of compressed clusters', () => {
  test.each(images)('$name', async (image) => {
    await expectKinds(path(image.file), image.kinds);
    await expectEveryConversion(path(image.file), image);
  });
});

test('the images of all kinds are at least 150', () => {
  const files = new Set(
    listImages()
      .filter(({ refused }) => !refused)
      .map(({ file }) => file),
  );
  expect(files.size).toBeGreaterThanOrEqual(150);
});
