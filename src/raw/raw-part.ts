/** A part of a raw image as a disk: the options `offset` and `size` of QEMU's driver raw. */
import { roundUp } from '../arithmetic.js';
import { Qcow2cError, quoted } from '../errors.js';
import type { HostFile, MappedRange, Source } from '../image/source.js';
import { SECTOR_SIZE } from '../sector.js';

export class RawPart implements Source {
  readonly name: string;
  readonly size: number;
  /** Offset of the part in the file, in bytes. */
  readonly start: number;
  readonly #file: HostFile;

  /**
   * @param file closed with the part
   * @param offset of the part in the file, in bytes
   * @param size bytes; undefined: to the end of the file
   * @returns the file itself when the part is the whole file
   * @throws Qcow2cError ERR_USAGE when the part ends outside the file (raw_apply_options in QEMU)
   */
  static of(file: HostFile, offset: number, size: number | undefined): Source {
    if (offset === 0 && size === undefined) return file;
    const found = file.size;
    if (offset > found || (size !== undefined && size > found - offset)) {
      const part = size === undefined ? `Offset ${offset} is` : `${size} bytes at offset ${offset} are`;
      throw new Qcow2cError(
        'ERR_USAGE',
        `${part} not inside ${quoted(file.name)}, which has ${found} bytes`,
        { file: file.name, expected: found, found: offset + (size ?? 0) },
      );
    }
    if (size !== undefined && size % SECTOR_SIZE !== 0) {
      const message = `Specified size is not multiple of ${SECTOR_SIZE}: ${size}`;
      throw new Qcow2cError('ERR_USAGE', message, { file: file.name, found: size });
    }
    return new RawPart(file, offset, size ?? roundUp(found - offset, SECTOR_SIZE));
  }

  private constructor(file: HostFile, start: number, size: number) {
    this.name = file.name;
    this.size = size;
    this.#file = file;
    this.start = start;
  }

  async map(offset: number): Promise<MappedRange> {
    const at = this.start + offset;
    if (at >= this.#file.size) return { kind: 'zero', length: this.size - offset };
    const range = await this.#file.map(at);
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
