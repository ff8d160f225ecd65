/**
 * Writes a raw disk to a target: data as aligned writes, everything else as holes, except the first block of a new
 * file. After finish() every byte of the disk is the byte of its item, or zero. Bytes of a device or existing file past
 * the end of the disk are unchanged.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { abortedError, internalError, type Qcow2cError, quoted, usageError } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { SparseStorage } from '../storage/storage.js';
import { isInPlace, type TargetKind } from '../storage/target.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../system/aligned-memory.js';

/** Writes and holes in progress at once: the number of Node.js's threads for file operations. */
const WRITERS = 4;
/** Bytes in one write of zeros. */
const ZERO_BYTES = 2 * 1024 * 1024;

/** The target before the conversion. */
export interface RawTarget {
  readonly kind: TargetKind;
  /** Bytes of the file or device before the conversion; 0 for a new file. */
  readonly existingSize: number;
  /** Whether all these bytes are known to be zeros, so that none need to be zeroed. */
  readonly isZero: boolean;
  /** Cancels a long write of zeros. */
  readonly signal?: AbortSignal | undefined;
}

/** Half-open, in bytes of the disk. */
interface Part {
  readonly from: number;
  readonly to: number;
}

export class RawWriter {
  readonly #storage: SparseStorage;
  /** Infinity for a disk whose size is known only at its end. */
  readonly #diskSize: number;
  readonly #target: RawTarget;
  /** Every byte before this position is written, zero or being written. */
  #position = 0;
  #dataBytes = 0;
  #zeros: Uint8Array | undefined;

  /**
   * @param diskSize bytes, a multiple of 512; undefined if it is given to `finish`
   * @throws Qcow2cError ERR_USAGE when the target is too small for the disk
   */
  constructor(storage: SparseStorage, diskSize: number | undefined, target: RawTarget) {
    const { kind, existingSize } = target;
    // As in qemu-img, a file that ends inside a sector counts as whole sectors.
    if (isInPlace(kind) && diskSize !== undefined && roundUp(existingSize, SECTOR_SIZE) < diskSize) {
      throw smallTarget(storage.name, existingSize, diskSize);
    }
    this.#storage = storage;
    this.#diskSize = diskSize ?? Number.POSITIVE_INFINITY;
    this.#target = target;
  }

  /** Bytes of the runs written so far. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  /**
   * Writes an item, and zeroes the bytes between it and the item before. Resolves when the descriptor has taken all
   * bytes; `bytes` is not copied. Items come in ascending order. The previous item may still be being written.
   * @param guestOffset bytes, a multiple of 4096
   * @param bytes the bytes of the item, in page-aligned memory; their number is a multiple of 4096 unless they reach
   *   the disk's end
   * @param runs the ranges of `bytes` to write, as pairs of byte positions [from, to), ascending, multiples of 512; the
   *   rest of the item is zeros
   * @throws Qcow2cError ERR_IO, ERR_ABORTED
   */
  async write(guestOffset: number, bytes: Uint8Array, runs: Uint32Array): Promise<void> {
    const end = guestOffset + bytes.length;
    const tasks: (() => Promise<void>)[] = [];
    for (const { from, to } of wholeBlocks(runs, this.#storage.alignment, bytes.length)) {
      this.#addGap(tasks, guestOffset + from);
      const run = bytes.subarray(from, to);
      tasks.push(() => this.#writePart(guestOffset + from, run));
      this.#position = guestOffset + to;
    }
    this.#addGap(tasks, end);
    for (let at = 0; at < runs.length; at += 2) this.#dataBytes += (runs[at + 1] ?? 0) - (runs[at] ?? 0);
    await runConcurrently(tasks);
  }

  /**
   * Zeroes the rest of the disk.
   * @param diskSize bytes, a multiple of 512; default: that of the constructor
   * @returns the length for the target's file: that of the disk, or of a larger existing file
   * @throws Qcow2cError ERR_IO, ERR_ABORTED
   */
  async finish(diskSize = this.#diskSize): Promise<number> {
    const tasks: (() => Promise<void>)[] = [];
    this.#addGap(tasks, diskSize);
    await runConcurrently(tasks);
    return Math.max(diskSize, this.#target.existingSize);
  }

  /** Advances to `end` and zeroes the bytes up to it. */
  #addGap(tasks: (() => Promise<void>)[], end: number): void {
    const from = this.#position;
    if (end < from || end > this.#diskSize) {
      throw internalError(`bytes ${from} to ${end} are not in the unwritten part of the disk`);
    }
    this.#position = end;
    if (end === from || this.#target.isZero) return;
    if (isInPlace(this.#target.kind)) {
      tasks.push(() => this.#zero(from, end));
    } else if (from === 0) {
      // The first block of a new file is written even if it is zeros, as in QEMU (allocate_first_block): a reader
      // cannot find out the alignment for O_DIRECT from a hole.
      tasks.push(() => this.#writeZeros(0, Math.min(end, DIRECT_ALIGNMENT)));
    }
  }

  /** Punches holes for whole blocks. Writes zeros at the edges, and everywhere if the system refuses holes. */
  async #zero(from: number, to: number): Promise<void> {
    const start = Math.min(roundUp(from, DIRECT_ALIGNMENT), to);
    const end = Math.max(roundDown(to, DIRECT_ALIGNMENT), start);
    await this.#writeZeros(from, start);
    if (end > start && !(await this.#storage.punch(start, end - start))) await this.#writeZeros(start, end);
    await this.#writeZeros(end, to);
  }

  async #writeZeros(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += ZERO_BYTES) {
      const { signal } = this.#target;
      if (signal?.aborted) throw abortedError(signal.reason);
      this.#zeros ??= alignedMemory(ZERO_BYTES);
      await this.#writePart(at, this.#zeros.subarray(0, Math.min(ZERO_BYTES, to - at)));
    }
  }

  /** Writes bytes that begin at a block, and end at one or with the disk. */
  async #writePart(offset: number, bytes: Uint8Array): Promise<void> {
    // The alignment is read once. Buffered I/O, which may replace O_DIRECT meanwhile, accepts aligned writes too.
    const unit = this.#storage.alignment;
    const whole = roundDown(bytes.length, unit);
    if (whole > 0) await this.#storage.write(offset, [bytes.subarray(0, whole)]);
    if (whole < bytes.length) await this.#writeLastBlock(offset + whole, bytes.subarray(whole), unit);
  }

  /**
   * Writes the last, partial block of the disk. The rest of the block keeps the bytes that a larger target has there.
   */
  async #writeLastBlock(offset: number, bytes: Uint8Array, unit: number): Promise<void> {
    const { kind, existingSize } = this.#target;
    const block = alignedMemory(unit).subarray(0, unit);
    if (existingSize > offset + bytes.length) await this.#storage.read(offset, block);
    block.set(bytes);
    // A file gets its length afterwards. A write to a device must not go past its end. A device that ends before the
    // bytes, under a disk of unknown size, fails this write itself.
    const room = kind === 'device' ? Math.max(existingSize - offset, bytes.length) : unit;
    const length = Math.min(unit, room);
    await this.#storage.write(offset, [block.subarray(0, length)]);
  }
}

/** The error of a target that is too small. @param found its bytes @param expected bytes of the disk */
export function smallTarget(file: string, found: number, expected: number): Qcow2cError {
  const message = `output file is smaller than input file: ${quoted(file)} has ${found} bytes, and ${expected} are needed`;
  return usageError(message, { file, expected, found });
}

/** Rounds the runs outward to multiples of `unit`, limited by the item's end, and merges runs that touch. */
function* wholeBlocks(runs: Uint32Array, unit: number, itemLength: number): Generator<Part> {
  let part: Part | undefined;
  for (let at = 0; at < runs.length; at += 2) {
    const from = roundDown(runs[at] ?? 0, unit);
    const to = Math.min(roundUp(runs[at + 1] ?? 0, unit), itemLength);
    if (part !== undefined && from > part.to) yield part;
    part = { from: part !== undefined && from <= part.to ? part.from : from, to };
  }
  if (part !== undefined) yield part;
}

/** Runs all tasks, a few at once. Rejects with the first error after all running tasks have ended. */
async function runConcurrently(tasks: readonly (() => Promise<void>)[]): Promise<void> {
  const left = tasks.values();
  let failure: { readonly error: unknown } | undefined;
  const writer = async () => {
    for (const task of left) {
      if (failure !== undefined) return;
      try {
        await task();
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(WRITERS, tasks.length) }, writer));
  if (failure !== undefined) throw failure.error;
}
