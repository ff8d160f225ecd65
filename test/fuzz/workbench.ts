/** The directory of the mutants: the base images, a secret file that must not be opened, and a place for results. */
import * as fs from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { applyMutations, type BaseImage, makeBaseImages, namedBy } from './base-images.js';
import { namesOf } from './image-sites.js';
import { type Mutant, mutantOf } from './mutant.js';

/** A file beside the images that none of them names. */
const LURE = 'lure.raw';
/** No header is longer. */
const HEADER_BYTES = 2 * 1024 * 1024;

/** A mutant that can be read. */
export interface Place {
  readonly base: BaseImage;
  /** The image's path. Programs run in its directory, where QEMU looks for data files. */
  readonly image: string;
  /** The files that may be read: the image, and those it names if names are to be followed. */
  readonly given: ReadonlySet<string>;
  /** An empty directory for the results. */
  readonly out: string;
}

export class Workbench {
  readonly bases: readonly BaseImage[];
  /** The directory of all images. */
  readonly images: string;
  readonly #out: string;

  /**
   * @param directory empty
   * @param wanted names of base images; default: all
   */
  static async open(directory: string, wanted?: ReadonlySet<string>): Promise<Workbench> {
    const images = join(directory, 'images');
    const bases = await makeBaseImages(images, wanted);
    fs.writeFileSync(join(images, LURE), Buffer.alloc(4096, 'no guest may see this '));
    return new Workbench(images, join(directory, 'out'), bases);
  }

  private constructor(images: string, out: string, bases: readonly BaseImage[]) {
    this.images = images;
    this.#out = out;
    this.bases = bases;
  }

  mutant(seed: number, index: number): Mutant {
    return mutantOf(this.bases, LURE, seed, index);
  }

  /** Makes a mutant in place, one at a time, and undoes it when `use` is done with it. */
  async inPlace<T>(mutant: Mutant, use: (place: Place) => Promise<T>): Promise<T> {
    const base = this.bases.find(({ name }) => name === mutant.base);
    if (base === undefined) throw new Error(`there is no base ${mutant.base}`);
    const image = join(this.images, base.files[0]!.name);
    fs.mkdirSync(this.#out);
    const undo = applyMutations(this.images, base.files, mutant.mutations);
    try {
      const given = mutant.trust === 'stated' ? reachable(image) : new Set([image]);
      return await use({ base, image, given, out: this.#out });
    } finally {
      undo();
      fs.rmSync(this.#out, { recursive: true });
    }
  }
}

/** The image and every file that it names, or that an image names whose format another one states. */
function reachable(image: string): ReadonlySet<string> {
  const found = new Set<string>();
  const wanted = [image];
  for (let path = wanted.shift(); path !== undefined; path = wanted.shift()) {
    if (found.has(path)) continue;
    found.add(path);
    const bytes = firstBytes(path);
    const { backing = '', backingFormat } = namesOf(bytes);
    for (const named of namedBy(bytes, path)) {
      const isBacking = named === resolve(dirname(path), backing.replace(/^file:/, ''));
      if (isBacking && backingFormat === 'qcow2') wanted.push(named);
      else found.add(named);
    }
  }
  return found;
}

/** Only regular files with possible names. */
function firstBytes(path: string): Buffer {
  try {
    if (!fs.statSync(path).isFile()) return Buffer.alloc(0);
  } catch {
    return Buffer.alloc(0);
  }
  const descriptor = fs.openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(HEADER_BYTES);
    return bytes.subarray(0, fs.readSync(descriptor, bytes, 0, bytes.length, 0));
  } finally {
    fs.closeSync(descriptor);
  }
}
