/** `check` held against `qemu-img check`: the same words, numbers and exit codes for sound and corrupted images. */
import { beforeAll, describe, expect, test } from 'vitest';
import { CORRUPT_IMAGES } from '../check/corrupt-images.js';
import { FAR_CORRUPTIONS } from '../check/far-corruptions.js';
import { comparable, ourCheck, theirCheck } from './check-beside-qemu-img.js';
import { listImages, makeImages } from './generated-images.js';
import { useScratch } from './scratch.js';

const path = useScratch();

/** Expects the same of both programs, for people and for programs. */
async function expectSameVerdict(image: string, stated: boolean): Promise<void> {
  const format = stated ? (['-f', 'qcow2'] as const) : [];
  for (const output of ['human', 'json'] as const) {
    const [ours, theirs] = await Promise.all([
      ourCheck(image, { output, ...(stated ? { format: 'qcow2' } : {}) }),
      theirCheck(image, [...format, '--output', output]),
    ]);
    expect(comparable(ours, image)).toEqual(comparable(theirs, image));
  }
}

describe('corrupted images', () => {
  test.each([...CORRUPT_IMAGES, ...FAR_CORRUPTIONS])('$name', async ({ make }) => {
    const image = path('corrupt.qcow2');
    await make(image);
    await expectSameVerdict(image, true);
  });
});

describe('generated images', () => {
  const ONLY = process.env['ONLY'] ?? '';
  const images = [...new Map(listImages(ONLY).map((image) => [image.file, image])).values()];
  beforeAll(() => makeImages(path('made'), ONLY));

  test.each(images)('$name', async ({ file, args }) => {
    await expectSameVerdict(path('made', file), args.includes('-f'));
  });
});
