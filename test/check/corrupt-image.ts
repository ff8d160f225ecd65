/** A corrupted image for the lists: a valid one with some bytes changed. */
import { writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { makeHoles } from '../e2e/source-images.js';
import { type Base, baseImage, DATA_FILE } from './corrupt-bases.js';
import { ImageBytes } from './corrupt-image-bytes.js';

export interface CorruptImage {
  readonly name: string;
  /** The exit code of `qemu-img check` 7.2: 0 no findings, 1 no check possible, 2 corruptions, 3 leaks. */
  readonly status: 0 | 1 | 2 | 3;
  /** Makes it, and the data file that it may name. */
  readonly make: (path: string) => Promise<void>;
}

/** @param change corrupts the image's bytes */
export function corrupt(
  name: string,
  status: CorruptImage['status'],
  base: Base,
  change: (image: ImageBytes) => void,
): CorruptImage {
  const make = async (path: string) => {
    const image = new ImageBytes(await baseImage(base));
    change(image);
    await makeHoles(path, image.bytes);
    if (base.with === 'data file') await writeFile(join(dirname(path), DATA_FILE), '');
  };
  return { name, status, make };
}
