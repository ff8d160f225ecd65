/** A raw image: a regular file, whose holes are found and never read, or a block device. */
import * as fs from 'node:fs';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import type { MappedRange, Source } from '../image/source.js';
import { alignedMemory, DIRECT_ALIGNMENT, roundUp } from '../storage/aligned-memory.js';
import { type DataRange, HoleFinder } from './holes.js';

/** A source's size is rounded up to whole sectors, as QEMU does; the rest of the last one is zeros. */
const SECTOR_SIZE = 512;

/** What identifies a file's content without reading it. */
interface Version {
  readonly size: number;
  readonly mtimeNs: bigint;
}

export class RawSource implements Source {
  readonly name: string;
  readonly size: number;
  readonly #descriptor: number;
  readonly #holes: HoleFinder;
  readonly #version: Version;
  readonly #isFile: boolean;
  /** The data range looked up last: the next question is mostly about the same one. */
  #known: DataRange | undefined;

  /**
   * @param descriptor an open file or block device; closed with the source, or at once when this fails
   * @throws Qcow2cError ERR_IO
   */
  static async open(descriptor: number, name: string): Promise<RawSource> {
    try {
      const stats = fs.fstatSync(descriptor, { bigint: true });
      const isFile = stats.isFile();
      const holes = await HoleFinder.open(descriptor, name);
      const version = isFile
        ? { size: Number(stats.size), mtimeNs: stats.mtimeNs }
        : { size: holes.end() ?? endByReading(descriptor), mtimeNs: 0n };
      return new RawSource(descriptor, name, holes, version, isFile);
    } catch (error) {
      fs.closeSync(descriptor);
      throw ioError(`Could not find out the size of ${quoted(name)}`, error, { file: name });
    }
  }

  private constructor(
    descriptor: number,
    name: string,
    holes: HoleFinder,
    version: Version,
    isFile: boolean,
  ) {
    this.name = name;
    this.size = roundUp(version.size, SECTOR_SIZE);
    this.#descriptor = descriptor;
    this.#holes = holes;
    this.#version = version;
    this.#isFile = isFile;
  }

  async map(offset: number): Promise<MappedRange> {
    const end = this.#version.size;
    if (this.#known === undefined || offset < this.#known.start || offset >= this.#known.end) {
      const next = offset < end ? this.#holes.nextData(offset, end) : undefined;
      if (next === undefined) return { kind: 'zero', length: this.size - offset };
      this.#known = next;
      if (next.start > offset) return { kind: 'zero', length: next.start - offset };
    }
    return { kind: 'data', length: this.#known.end - offset, descriptor: this.#descriptor, offset };
  }

  fileOf(descriptor: number): string | undefined {
    return descriptor === this.#descriptor ? this.name : undefined;
  }

  async refuseChanges(): Promise<void> {
    if (!this.#isFile) return;
    const { size, mtimeNs } = fs.fstatSync(this.#descriptor, { bigint: true });
    if (Number(size) === this.#version.size && mtimeNs === this.#version.mtimeNs) return;
    const what = Number(size) === this.#version.size ? 'was written to' : `became ${size} bytes long`;
    throw new Qcow2cError('ERR_SOURCE_CHANGED', `${quoted(this.name)} ${what} while it was being converted`, {
      file: this.name,
      expected: this.#version.size,
      found: Number(size),
    });
  }

  async close(): Promise<void> {
    fs.closeSync(this.#descriptor);
  }
}

/** A device's size without lseek: the last block that can be read, found by halving, read as O_DIRECT asks. */
function endByReading(descriptor: number): number {
  const memory = alignedMemory(DIRECT_ALIGNMENT).subarray(0, DIRECT_ALIGNMENT);
  const bytesOf = (block: number) =>
    fs.readSync(descriptor, memory, 0, DIRECT_ALIGNMENT, block * DIRECT_ALIGNMENT);
  let beyond = 1;
  while (beyond < 2 ** 40 && bytesOf(beyond - 1) > 0) beyond *= 2;
  // All blocks below `low` have bytes, none from `beyond` on.
  let low = Math.floor(beyond / 2);
  while (low < beyond) {
    const middle = Math.floor((low + beyond) / 2);
    if (bytesOf(middle) > 0) low = middle + 1;
    else beyond = middle;
  }
  return low === 0 ? 0 : (low - 1) * DIRECT_ALIGNMENT + bytesOf(low - 1);
}

/**
 * Opens a file or block device for reading.
 * @param direct past the page cache (O_DIRECT), where the file system can
 * @returns the descriptor and the alignment that reads on it must have, in bytes
 * @throws Qcow2cError ERR_IO; ERR_UNSUPPORTED for directories, pipes and character devices
 */
export function openForReading(name: string, direct: boolean): { descriptor: number; direct: boolean } {
  // O_NONBLOCK: opening a pipe that nobody writes to must not hang before it can be refused.
  const flags = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK;
  let descriptor: number;
  let isDirect = direct && fs.constants.O_DIRECT !== undefined;
  try {
    try {
      descriptor = fs.openSync(name, isDirect ? flags | fs.constants.O_DIRECT : flags);
    } catch (error) {
      if (!isDirect || (error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      isDirect = false;
      descriptor = fs.openSync(name, flags);
    }
  } catch (error) {
    throw ioError(`Could not open ${quoted(name)}`, error, { file: name });
  }
  const stats = fs.fstatSync(descriptor);
  if (stats.isFile() || stats.isBlockDevice()) return { descriptor, direct: isDirect };
  fs.closeSync(descriptor);
  const found = stats.isDirectory() ? 'a directory' : stats.isFIFO() ? 'a pipe' : 'something else';
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `Could not open ${quoted(name)}: a regular file or block device was expected, but it is ${found}`,
    { file: name, expected: 'a regular file or block device', found },
  );
}
