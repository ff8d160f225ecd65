/**
 * A raw image: a regular file, or a block device. Holes of a file are found and never read. The readers of qcow2 also
 * read tables and clusters through this class.
 */
import * as fs from 'node:fs';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { roundDown, roundUp } from '../arithmetic.js';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import type { MappedRange, OpenedFile } from '../image/source.js';
import { SECTOR_SIZE } from '../sector.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../system/aligned-memory.js';
import { closeUnwritten } from '../system/close-unwritten.js';
import { deviceSize } from '../system/device-size.js';
import { fileIdentity, isIdentityOfFile } from '../system/file-identity.js';
import { type DataRange, HoleFinder } from '../system/holes.js';
import { type LockUse, lockImage } from '../system/image-lock.js';
import { ReadError, readFully } from '../system/read-fully.js';
import { settleTimes } from '../system/timestamp-tick.js';

const openFile = promisify(fs.open);
const statOpen = promisify(fs.fstat);

/**
 * Identifies a file's content without reading it. A program can set the modification time back but not the change time.
 */
interface Version {
  readonly size: number;
  readonly mtimeNs: bigint;
  readonly ctimeNs: bigint;
}

export class RawSource implements OpenedFile {
  readonly name: string;
  readonly size: number;
  /** Equal for all names of one file or device, and different for other files. */
  readonly identity: string;
  /** Offset, length and address of a read on the descriptor must be multiples of this many bytes. */
  readonly readAlignment: number;
  readonly descriptor: number;
  /** Whether the file has holes that cannot be found, and that are therefore read. */
  readonly hasLostHoles: boolean;
  readonly #holes: HoleFinder;
  #version: Version;
  readonly #isFile: boolean;
  /** The last data range found. The next lookup is usually in the same range. */
  #known: DataRange | undefined;

  /**
   * @param descriptor an open file or block device; closed with the source, or at once if this call fails
   * @param direct whether it was opened with O_DIRECT
   * @throws Qcow2cError ERR_IO
   */
  static async open(descriptor: number, name: string, direct = false): Promise<RawSource> {
    try {
      const stats = await statOpen(descriptor, { bigint: true });
      const isFile = stats.isFile();
      const holes = await HoleFinder.open(descriptor, name);
      const version = isFile
        ? { size: Number(stats.size), mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs }
        : { size: await deviceSize(descriptor), mtimeNs: 0n, ctimeNs: 0n };
      // A file with fewer blocks of 512 bytes than its length is sparse, or the file system compresses it.
      const hasLostHoles = !holes.isAble && isFile && stats.blocks * 512n < stats.size;
      return new RawSource(descriptor, name, direct, holes, version, fileIdentity(stats), hasLostHoles);
    } catch (error) {
      await closeUnwritten(descriptor);
      if (error instanceof Qcow2cError) throw error;
      throw ioError(`Could not find out the size of ${quoted(name)}`, error, { file: name });
    }
  }

  private constructor(
    descriptor: number,
    name: string,
    direct: boolean,
    holes: HoleFinder,
    version: Version,
    identity: string,
    hasLostHoles: boolean,
  ) {
    this.name = name;
    this.size = roundUp(version.size, SECTOR_SIZE);
    this.descriptor = descriptor;
    this.#holes = holes;
    this.#version = version;
    this.#isFile = isIdentityOfFile(identity);
    this.identity = identity;
    this.hasLostHoles = hasLostHoles;
    this.readAlignment = direct ? DIRECT_ALIGNMENT : 1;
  }

  async map(offset: number): Promise<MappedRange> {
    const end = this.#version.size;
    if (this.#known === undefined || offset < this.#known.start || offset >= this.#known.end) {
      const next = offset < end ? await this.#holes.nextData(offset, end) : undefined;
      if (next === undefined) return { kind: 'zero', length: this.size - offset };
      this.#known = next;
      if (next.start > offset) return { kind: 'zero', length: next.start - offset };
    }
    return { kind: 'data', length: this.#known.end - offset, descriptor: this.descriptor, offset };
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const from = roundDown(offset, this.readAlignment);
    const skip = offset - from;
    const whole = this.readAlignment === 1;
    const length = roundUp(skip + into.length, this.readAlignment);
    const memory = whole ? into : alignedMemory(length).subarray(0, length);
    const done = await this.#fill(memory, from);
    const found = Math.min(Math.max(0, done - skip), into.length);
    if (!whole) into.set(memory.subarray(skip, skip + found));
    return found;
  }

  async #fill(memory: Uint8Array, from: number): Promise<number> {
    try {
      return await readFully(this.descriptor, memory, from, this.readAlignment);
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      const at = from + error.done;
      const what = `Could not read ${quoted(this.name)} at offset ${at}`;
      throw ioError(what, error.cause, { file: this.name, offset: at });
    }
  }

  fileOf(descriptor: number): string | undefined {
    return descriptor === this.descriptor ? this.name : undefined;
  }

  /**
   * Waits until `refuseChanges` detects every later write. Call it before the first read.
   * @returns milliseconds waited; 0 for a device, whose times do not change with writes
   * @throws Qcow2cError ERR_SOURCE_CHANGED, ERR_IO
   */
  async settle(): Promise<number> {
    if (!this.#isFile) return 0;
    try {
      const { stats, waitedMs } = await settleTimes(this.descriptor, this.name);
      if (Number(stats.size) !== this.#version.size) throw this.#changedSize(Number(stats.size));
      this.#version = { size: this.#version.size, mtimeNs: stats.mtimeNs, ctimeNs: stats.ctimeNs };
      return waitedMs;
    } catch (error) {
      throw error instanceof Qcow2cError ? error : this.#unknownChange(error);
    }
  }

  async refuseChanges(): Promise<void> {
    if (!this.#isFile) return;
    const { size, mtimeNs, ctimeNs } = await this.#stats();
    if (Number(size) !== this.#version.size) throw this.#changedSize(Number(size));
    if (mtimeNs !== this.#version.mtimeNs) throw this.#changed('was written to', Number(size));
    if (ctimeNs === this.#version.ctimeNs) return;
    const what = 'was changed, perhaps only in its name or permissions (only its ctime differs),';
    throw this.#changed(what, Number(size));
  }

  #changedSize(size: number): Qcow2cError {
    return this.#changed(`became ${size} bytes long`, size);
  }

  #changed(what: string, size: number): Qcow2cError {
    return new Qcow2cError('ERR_SOURCE_CHANGED', `${quoted(this.name)} ${what} while it was being read`, {
      file: this.name,
      expected: this.#version.size,
      found: size,
    });
  }

  async #stats(): Promise<fs.BigIntStats> {
    try {
      return await statOpen(this.descriptor, { bigint: true });
    } catch (error) {
      throw this.#unknownChange(error);
    }
  }

  #unknownChange(error: unknown): Qcow2cError {
    const what = `Could not find out whether ${quoted(this.name)} has changed`;
    return ioError(what, error, { file: this.name });
  }

  /** Takes QEMU's locks for a use of the file. Closing the file releases them. @throws Qcow2cError ERR_IN_USE */
  lock(use: LockUse): Promise<void> {
    return lockImage(this.descriptor, this.name, use);
  }

  close(): Promise<void> {
    return closeUnwritten(this.descriptor);
  }
}

/**
 * Opens a file or block device for reading.
 * @param direct use O_DIRECT if the file system supports it
 * @returns the descriptor, and whether it uses O_DIRECT
 * @throws Qcow2cError ERR_IO; ERR_UNSUPPORTED for directories, pipes and character devices
 */
export async function openForReading(
  name: string,
  direct: boolean,
): Promise<{ descriptor: number; direct: boolean }> {
  // Without O_NONBLOCK, opening a pipe without a writer would block before it can be refused.
  const flags = fs.constants.O_RDONLY | fs.constants.O_NONBLOCK;
  let descriptor: number;
  let isDirect = direct && fs.constants.O_DIRECT !== undefined;
  try {
    // Checked before the open: an image can name any device, and opening some devices has side effects.
    refuseOtherKinds(await stat(name), name);
    try {
      descriptor = await openFile(name, isDirect ? flags | fs.constants.O_DIRECT : flags);
    } catch (error) {
      if (!isDirect || (error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
      isDirect = false;
      descriptor = await openFile(name, flags);
    }
  } catch (error) {
    throw openError(error, name);
  }
  try {
    refuseOtherKinds(await statOpen(descriptor), name);
  } catch (error) {
    await closeUnwritten(descriptor);
    throw openError(error, name);
  }
  return { descriptor, direct: isDirect };
}

function openError(error: unknown, name: string): Qcow2cError {
  if (error instanceof Qcow2cError) return error;
  return ioError(`Could not open ${quoted(name)}`, error, { file: name });
}

/** @throws Qcow2cError ERR_UNSUPPORTED unless it is a regular file or a block device */
function refuseOtherKinds(stats: fs.Stats, name: string): void {
  if (stats.isFile() || stats.isBlockDevice()) return;
  const found = kindOf(stats);
  const instead = found === 'a pipe' ? '; save its output to a file first' : '';
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `Could not open ${quoted(name)}: a regular file or block device was expected, but it is ${found}${instead}`,
    { file: name, expected: 'a regular file or block device', found },
  );
}

function kindOf(stats: fs.Stats): string {
  if (stats.isDirectory()) return 'a directory';
  if (stats.isFIFO()) return 'a pipe';
  if (stats.isSocket()) return 'a socket';
  return stats.isCharacterDevice() ? 'a character device' : 'something else';
}

/** Opens a raw disk, or the file that contains an image. @throws Qcow2cError as `openForReading`, `RawSource.open` */
export async function openRawSource(name: string, direct: boolean): Promise<RawSource> {
  const opened = await openForReading(name, direct);
  return RawSource.open(opened.descriptor, name, opened.direct);
}
