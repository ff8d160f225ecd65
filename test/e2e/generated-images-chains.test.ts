/** Backing chains, names, layouts and sizes, converted in every way; chains that must be refused. */
import { beforeAll, describe, test, vi } from 'vitest';
import {
  expectEveryConversion,
  expectKinds,
  expectRefusal,
  listImages,
  makeImages,
} from './generated-images.js';
import { useScratch } from './scratch.js';

vi.mock('../../src/workers/pool.js', () => import('../fuzz/in-thread-pool.js'));

const ONLY = '^(chains|names|layout|sizes)/';
const images = listImages(ONLY);
const readable = images.filter(({ refused }) => !refused);
const path = useScratch();
beforeAll(() => makeImages(path(''), ONLY));

describe('images in chains, under every name, laid out in every way, of every size', () => {
  test.each(readable)('$name', async (image) => {
    await expectKinds(path(image.file), image.kinds);
    await expectEveryConversion(path(image.file), image, readable.indexOf(image));
  });
});

describe('nothing is made of', () => {
  test.each(images.filter(({ refused }) => refused))('$name', (image) =>
    expectRefusal(path(image.file), image.args),
  );

  test.each(images.filter(({ args, refused }) => args.includes('-f') && !refused).slice(0, 3))(
    '$name as long as nobody states its format',
    (image) => expectRefusal(path(image.file), []),
  );
});
