/** Checks that every finished image must pass. */
import { stat } from 'node:fs/promises';
import { expect } from 'vitest';
import * as qemuImg from '../oracle/qemu-img.js';

/**
 * Expects a qcow2 image without errors or leaks that shows the guest exactly the raw image `raw`, in a
 * file whose length is a multiple of a sector.
 */
export async function expectGoodImage(image: string, raw: string): Promise<qemuImg.CheckResult> {
  const check = await qemuImg.check(image);
  expect(check).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  expect(await qemuImg.difference(raw, image)).toBeUndefined();
  expect((await stat(image)).size % 512).toBe(0);
  return check;
}
