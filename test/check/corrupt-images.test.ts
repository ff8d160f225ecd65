import { basename, dirname } from 'node:path';
import { expect, test } from 'vitest';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';
import { sample } from '../stage.js';
import { CORRUPT_IMAGES } from './corrupt-images.js';

const scratch = useScratch();

const images = sample(CORRUPT_IMAGES, 40);
/** Images made and checked concurrently. */
const CONCURRENT = 2;

test('qemu-img reports the intended fault of every corrupted image', async () => {
  const found: Record<string, number | null> = {};
  const checkShare = async (number: number) => {
    const image = scratch(`image-${number}.qcow2`);
    for (const { name, make } of images.filter((_, index) => index % CONCURRENT === number)) {
      await make(image);
      // qemu-img resolves the name of a data file against its directory.
      const { status } = await run('qemu-img', ['check', basename(image)], { cwd: dirname(image) });
      found[name] = status;
    }
  };
  await Promise.all(Array.from({ length: CONCURRENT }, (_, number) => checkShare(number)));
  expect(found).toEqual(Object.fromEntries(images.map(({ name, status }) => [name, status])));
  expect(Object.keys(found)).toHaveLength(images.length);
});
