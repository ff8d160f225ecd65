/**
 * Finds holes with lseek(2), which Node.js lacks, through the optional package fs-ext; without it a file
 * has none. For the main thread only: fs-ext crashes the process when a worker loads it too.
 */
import { ioError, quoted } from '../errors.js';

/** Values of `whence` on Linux, and on the other systems that have them. */
const SEEK_END = 2;
const SEEK_DATA = process.platform === 'darwin' ? 4 : 3;
const SEEK_HOLE = process.platform === 'darwin' ? 3 : 4;

type Seek = (descriptor: number, offset: number, whence: number) => number;

let loaded: Promise<Seek | undefined> | undefined;

/** @returns lseek, or undefined when fs-ext is not installed or does not load */
function loadSeek(): Promise<Seek | undefined> {
  loaded ??= import('fs-ext').then(
    ({ default: module, seekSync }: { default?: { seekSync: Seek }; seekSync: Seek }) =>
      seekSync ?? module?.seekSync,
    () => undefined,
  );
  return loaded;
}

/** @returns whether holes can be found on this machine */
export async function canFindHoles(): Promise<boolean> {
  return (await loadSeek()) !== undefined;
}

/** A stretch of data in a file, in bytes. */
export interface DataRange {
  readonly start: number;
  readonly end: number;
}

/** Finds the data of one open file. */
export class HoleFinder {
  readonly #seek: Seek | undefined;
  readonly #descriptor: number;
  readonly #name: string;
  /** False once the file system has said that it knows no holes. */
  #able = true;

  static async open(descriptor: number, name: string): Promise<HoleFinder> {
    return new HoleFinder(await loadSeek(), descriptor, name);
  }

  private constructor(seek: Seek | undefined, descriptor: number, name: string) {
    this.#seek = seek;
    this.#descriptor = descriptor;
    this.#name = name;
  }

  /**
   * @param offset where to start looking, in bytes
   * @param size the file's size: what a file without known holes is taken to hold
   * @returns the first data at or after `offset`; undefined when only a hole is left
   * @throws Qcow2cError ERR_IO
   */
  nextData(offset: number, size: number): DataRange | undefined {
    if (this.#seek === undefined || !this.#able) return { start: offset, end: size };
    let start = offset;
    try {
      start = this.#seek(this.#descriptor, offset, SEEK_DATA);
      if (start >= size) return undefined;
      return { start, end: Math.min(size, this.#seek(this.#descriptor, start, SEEK_HOLE)) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'ENXIO') return undefined;
      if (code !== 'EINVAL' && code !== 'ENOTSUP') {
        throw ioError(`Could not look for holes in ${quoted(this.#name)} at offset ${start}`, error, {
          file: this.#name,
          offset: start,
        });
      }
      this.#able = false;
      return { start: offset, end: size };
    }
  }

  /** @returns the offset of the end, which is a device's size in bytes; undefined when it cannot be had */
  end(): number | undefined {
    return this.#seek?.(this.#descriptor, 0, SEEK_END);
  }
}
