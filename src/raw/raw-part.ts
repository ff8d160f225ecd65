/** A part of a raw image as a disk of its own: `offset` and `size` of QEMU's driver raw. */
import { Qcow2cError, quoted } from '../errors.js';
import type { HostFile, MappedRange, Source } from '../image/source.js';
import { roundDown } from '../storage/aligned-memory.js';

/** QEMU counts in whole sectors. */
const SECTOR_SIZE = 512;

export class RawPart implements Source {
  readonly name: string;
  readonly size: number;
  readonly #file: HostFile;
  readonly #start: number;

  /**
   * @param file closed with the part
   * @param offset bytes, where the part begins
   * @param size bytes; undefined: up to the file's end
   * @returns the file itself when the part is all of it
   * @throws Qcow2cError ERR_USAGE when the file does not hold the part (raw_apply_options in QEMU)
   */
  static of(file: HostFile, offset: number, size: number | undefined): Source {
    if (offset === 0 && size === undefined) return file;
    const found = file.size;
    if (offset > found || (size !== undefined && size > found - offset)) {
      const part = `offset ${offset}${size === undefined ? '' : ` and size ${size}`}`;
      throw new Qcow2cError(
        'ERR_USAGE',
        `${part} have to be within the size of ${quoted(file.name)}, which is ${found} bytes`,
        { file: file.name, expected: found, found: offset + (size ?? 0) },
      );
    }
    if (size !== undefined && size % SECTOR_SIZE !== 0) {
      const message = `Specified size ${size} is not a multiple of ${SECTOR_SIZE}`;
      throw new Qcow2cError('ERR_USAGE', message, { file: file.name, found: size });
    }
    return new RawPart(file, offset, size ?? roundDown(found - offset, SECTOR_SIZE));
  }

  private constructor(file: HostFile, start: number, size: number) {
    this.name = file.name;
    this.size = size;
    this.#file = file;
    this.#start = start;
  }

  async map(offset: number): Promise<MappedRange> {
    const range = await this.#file.map(this.#start + offset);
    return { ...range, length: Math.min(range.length, this.size - offset) };
  }

  fileOf(descriptor: number): string | undefined {
    return this.#file.fileOf(descriptor);
  }

  refuseChanges(): Promise<void> {
    return this.#file.refuseChanges();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
