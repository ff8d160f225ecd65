/** Backing chains, names, layouts and sizes, converted in every way; chains that must be refused. */
import { beforeAll, describe, test } from 'vitest';
import {
  copyImages,
  expectEveryConversion,
  expectKinds,
  expectRefusal,
  filesOf,
  listImages,
  sampleImages,
} from './generated-images.js';
import { useScratch } from './scratch.js';

const ONLY = '^(chains|names|layout|sizes)/';
const images = listImages(ONLY);
const readable = sampleImages(ONLY).filter(({ refused }) => !refused);
const refused = images.filter((image) => image.refused);
const path = useScratch();
const unstated = images.filter((image) => image.args.includes('-f') && !image.refused).slice(0, 3);
beforeAll(() => copyImages(path(''), filesOf([...readable, ...refused, ...unstated])));

describe('images in chains, under every name, laid out in every way, of every size', () => {
  test.each(readable)('$name', async (image) => {
    await expectKinds(path(image.file), image.kinds);
    await expectEveryConversion(path(image.file), image);
  });
});

describe('nothing is made of', () => {
  test.each(refused)('$name', (image) => expectRefusal(path(image.file), image.args));

  test.each(unstated)('$name unless its format is given', (image) => expectRefusal(path(image.file), []));
});
