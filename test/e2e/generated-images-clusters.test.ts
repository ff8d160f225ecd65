/** Images of every geometry, with clusters of every type, read whole and converted in every way. */
import { beforeAll, describe, expect, test, vi } from 'vitest';
import { expectEveryConversion, expectKinds, listImages, makeImages } from './generated-images.js';
import { useScratch } from './scratch.js';

vi.mock('../../src/workers/pool.js', () => import('../fuzz/in-thread-pool.js'));

const ONLY = '^(clusters|refcounts|packed|plain|payloads)/';
const images = listImages(ONLY);
const path = useScratch();
beforeAll(() => makeImages(path(''), ONLY));

describe('images by geometry and by what their compressed clusters are like', () => {
  test.each(images)('$name', async (image) => {
    await expectKinds(path(image.file), image.kinds);
    await expectEveryConversion(path(image.file), image, images.indexOf(image));
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
