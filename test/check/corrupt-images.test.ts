import { basename, dirname } from 'node:path';
import { expect, test } from 'vitest';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';
import { CORRUPT_IMAGES } from './corrupt-images.js';

const scratch = useScratch();

test('qemu-img says of every corrupted image what it is there for', async () => {
  const found: Record<string, number | null> = {};
  const expected: Record<string, number> = {};
  for (const { name, status, make } of CORRUPT_IMAGES) {
    const image = scratch('image.qcow2');
    await make(image);
    // qemu-img resolves the name of a data file against its directory.
    const outcome = await run('qemu-img', ['check', basename(image)], { cwd: dirname(image) });
    found[name] = outcome.status;
    expected[name] = status;
  }
  expect(Object.keys(expected).length).toBe(CORRUPT_IMAGES.length);
  expect(found).toEqual(expected);
});
