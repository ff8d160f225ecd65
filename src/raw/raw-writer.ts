/**
 * Writes a raw disk into a target: what holds data as aligned writes, everything else as holes, but for the first
 * block of a new file. After finish() every byte of the disk is what the items said, or zero; what a device or an
 * existing file has behind the disk's end is as it was.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { abortedError, internalError, Qcow2cError, quoted } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { SparseStorage } from '../storage/storage.js';
import { isInPlace, type TargetKind } from '../storage/target.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../system/aligned-memory.js';

/** Writes and holes under way at once: the threads that Node.js has for them. */
const WRITERS = 4;
/** Bytes of one write of zeros. */
const ZERO_BYTES = 2 * 1024 * 1024;

/** What the disk is written over. */
export interface RawPlace {
  readonly kind: TargetKind;
  /** Bytes of the file or device before the conversion; 0 for a new file. */
  readonly existingSize: number;
  /** Whether all of them are known to be zeros, so that nothing needs to be made zero. */
  readonly isZero: boolean;
  /** Ends a long write of zeros. */
  readonly signal?: AbortSignal | undefined;
}

/** Half-open, in bytes of the disk. */
interface Part {
  readonly from: number;
  readonly to: number;
}

export class RawWriter {
  readonly #storage: SparseStorage;
  /** Infinite for a disk whose end is known only when it comes. */
  readonly #diskSize: number;
  readonly #place: RawPlace;
  /** Every byte below is written or zero, or on its way. */
  #position = 0;
  #dataBytes = 0;
  #zeros: Uint8Array | undefined;

  /**
   * @param diskSize bytes, a multiple of 512; undefined when only `finish` will be told
   * @throws Qcow2cError ERR_USAGE when the place is too small for the disk
   */
  constructor(storage: SparseStorage, diskSize: number | undefined, place: RawPlace) {
    const { kind, existingSize } = place;
    // As in qemu-img, a file that ends inside its last sector counts as whole sectors.
    if (isInPlace(kind) && diskSize !== undefined && roundUp(existingSize, SECTOR_SIZE) < diskSize) {
      throw new Qcow2cError(
        'ERR_USAGE',
        `output file is smaller than input file: ${quoted(storage.name)} has ${existingSize} bytes, ` +
          `and ${diskSize} are needed`,
        { file: storage.name, expected: diskSize, found: existingSize },
      );
    }
    this.#storage = storage;
    this.#diskSize = diskSize ?? Number.POSITIVE_INFINITY;
    this.#place = place;
  }

  /** Bytes of the runs written. */
  get dataBytes(): number {
    return this.#dataBytes;
  }

  /**
   * Writes an item, and makes zero what lies between it and the item before. Resolves when all is on the
   * descriptor: `bytes` goes there without being copied. Items come in ascending order, one at a time.
   * @param guestOffset bytes, a multiple of 4096
   * @param bytes the item as it is on the disk, in page-aligned memory; a multiple of 4096 bytes, or up to the
   *   disk's end
   * @param runs what is to be written, as pairs of bytes from the item's start, [from, to), ascending,
   *   multiples of 512; the rest of the item is zeros
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
   * Makes zero what is left.
   * @param diskSize bytes, a multiple of 512, when the constructor was not told
   * @returns the length that the target's file must get: the disk's, or what a larger file had
   * @throws Qcow2cError ERR_IO, ERR_ABORTED
   */
  async finish(diskSize = this.#diskSize): Promise<number> {
    const tasks: (() => Promise<void>)[] = [];
    this.#addGap(tasks, diskSize);
    await runConcurrently(tasks);
    return Math.max(diskSize, this.#place.existingSize);
  }

  /** Goes on to `end`; what lies before it shall be zeros. */
  #addGap(tasks: (() => Promise<void>)[], end: number): void {
    const from = this.#position;
    if (end < from || end > this.#diskSize) {
      throw internalError(`bytes ${from} to ${end} are no part of what is left of the disk`);
    }
    this.#position = end;
    if (end === from || this.#place.isZero) return;
    if (isInPlace(this.#place.kind)) {
      tasks.push(() => this.#zero(from, end));
    } else if (from === 0) {
      // Never a hole, as in QEMU (allocate_first_block): who reads one cannot find out what O_DIRECT needs.
      tasks.push(() => this.#writeZeros(0, Math.min(end, DIRECT_ALIGNMENT)));
    }
  }

  /** Frees the whole blocks, and writes zeros where that is refused and at the edges. */
  async #zero(from: number, to: number): Promise<void> {
    const start = Math.min(roundUp(from, DIRECT_ALIGNMENT), to);
    const end = Math.max(roundDown(to, DIRECT_ALIGNMENT), start);
    await this.#writeZeros(from, start);
    if (end > start && !(await this.#storage.punch(start, end - start))) await this.#writeZeros(start, end);
    await this.#writeZeros(end, to);
  }

  async #writeZeros(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += ZERO_BYTES) {
      const { signal } = this.#place;
      if (signal?.aborted) throw abortedError(signal.reason);
      this.#zeros ??= alignedMemory(ZERO_BYTES);
      await this.#writePart(at, this.#zeros.subarray(0, Math.min(ZERO_BYTES, to - at)));
    }
  }

  /** Writes bytes that begin at a block, and end at one or with the disk. */
  async #writePart(offset: number, bytes: Uint8Array): Promise<void> {
    // Asked once: buffered I/O, which may come meanwhile, takes aligned writes as well.
    const unit = this.#storage.alignment;
    const whole = roundDown(bytes.length, unit);
    if (whole > 0) await this.#storage.write(offset, [bytes.subarray(0, whole)]);
    if (whole < bytes.length) await this.#writeLastBlock(offset + whole, bytes.subarray(whole), unit);
  }

  /** The disk ends inside its last block: what a larger target has behind it is written as it was. */
  async #writeLastBlock(offset: number, bytes: Uint8Array, unit: number): Promise<void> {
    const { kind, existingSize } = this.#place;
    const block = alignedMemory(unit).subarray(0, unit);
    if (existingSize > offset + bytes.length) await this.#storage.read(offset, block);
    block.set(bytes);
    // A file gets its length afterwards; a device that ends here takes no byte more. (One that ended before,
    // under a disk of unknown size, refuses this write itself.)
    const room = kind === 'device' ? Math.max(existingSize - offset, bytes.length) : unit;
    const length = Math.min(unit, room);
    await this.#storage.write(offset, [block.subarray(0, length)]);
  }
}

/** The runs rounded out to multiples of `unit` as far as the item goes; those that touch are one. */
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

/** Does all of it, a few at once; rejects with the first failure when none is under way any more. */
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
