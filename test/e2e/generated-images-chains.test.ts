/** Backing chains, names, layouts and sizes, converted in every way; chains that must be refused. */
import { beforeAll, describe, test } from 'vitest';
import { sample } from '../stage.js';
import {
  copyImages,
  expectEveryConversion,
  expectKinds,
  expectRefusal,
  listImages,
} from './generated-images.js';
import { useScratch } from './scratch.js';

const ONLY = '^(chains|names|layout|sizes)/';
const images = listImages(ONLY);
const readable = images.filter(({ refused }) => !refused);
const path = useScratch();
beforeAll(() => copyImages(path('')));

describe('images in chains, under every name, laid out in every way, of every size', () => {
  test.each(sample(readable, 6))('$name', async (image) => {
    await expectKinds(path(image.file), image.kinds);
    await expectEveryConversion(path(image.file), image);
  });
});

describe('nothing is made of', () => {
  test.each(images.filter(({ refused }) => refused))('$name', (image) =>
    expectRefusal(path(image.file), image.args),
  );

  test.each(images.filter(({ args, refused }) => args.includes('-f') && !refused).slice(0, 3))(
    '$name unless its format is given',
    (image) => expectRefusal(path(image.file), []),
  );
});
