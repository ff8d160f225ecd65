/**
 * The second pass over an image: writes it from start to end. Tables are taken from the layout that the first pass
 * kept, and written before the data that they lead to. Data come from this pass, nearly in order; a write that comes
 * early waits. The tables of both passes must be equal, so the output is the image of the second pass.
 */
import { internalError, Qcow2cError, quoted } from '../errors.js';
import { ForwardFile } from './forward-file.js';
import type { ImageLayout, LayoutPart } from './image-layout.js';
import type { OutputStream } from './output-stream.js';
import type { WriteKind } from './storage.js';

/** The fewest bytes at the end of the image that are written last. */
const LEAST_HELD_BYTES = 2 ** 20;
/**
 * How far data may come before their turn, in bytes of the image. The allocator returns to no cluster that is more than
 * LONGEST_INTERRUPTION back; the rest is for runs, tables and writes in progress.
 */
const LONGEST_LEAD = 32 * 2 ** 20;
/** Bytes of one write to the stream. After each, waiting writes get the memory that became free. */
const LARGEST_WRITE = 2 ** 20;

/** @param unit bytes of an allocation unit @returns the bytes at the end of an image that are written last */
function heldBytes(unit: number): number {
  // 'qemu-img check' always detects the loss of more than a cluster.
  return Math.max(LEAST_HELD_BYTES, 2 * unit);
}

/** @param unit bytes of an allocation unit @returns the most bytes of memory that wait to be written */
export function orderedMemory(unit: number): number {
  return LONGEST_LEAD + heldBytes(unit);
}

export class OrderedFile extends ForwardFile {
  readonly #layout: ImageLayout;
  readonly #stream: OutputStream;
  readonly #source: string;
  readonly #parts: Iterator<LayoutPart>;
  #part: LayoutPart | undefined;
  /** Bytes of the image that came early, each at its offset modulo the length of the ring. */
  readonly #ring: Uint8Array;
  /** The lengths of the writes in the ring, by their offsets. */
  readonly #early = new Map<number, number>();
  /** Everything before this position is written. */
  #position = 0;
  /** Bytes before this offset may be written now. The rest is held back until the image is complete. */
  #allowed: number;
  #isWriting = false;
  #writing: Promise<void> = Promise.resolve();
  #waiting: (() => void)[] = [];
  #failure: { readonly error: unknown } | undefined;
  #equalTables = 0;

  /**
   * @param layout of the first pass, which is complete
   * @param source its name, for messages
   * @param sizes.alignment bytes to which writes are padded: with whole units, only unused tables leave gaps
   * @param sizes.unit bytes of an allocation unit
   */
  constructor(
    layout: ImageLayout,
    stream: OutputStream,
    source: string,
    { alignment, unit }: { readonly alignment: number; readonly unit: number },
  ) {
    super(stream.name, alignment, stream);
    this.#layout = layout;
    this.#stream = stream;
    this.#source = source;
    this.#parts = layout.parts();
    this.#part = this.#parts.next().value;
    this.#allowed = Math.max(0, layout.length - heldBytes(unit));
    // The last write may be padded.
    this.#ring = new Uint8Array(Math.min(orderedMemory(unit), layout.length + 2 * unit));
  }

  /**
   * Takes a write of the second pass. Resolves when its bytes are copied.
   * @throws Qcow2cError ERR_SOURCE_CHANGED when the first pass did not write the same; ERR_IO, ERR_ABORTED
   */
  async write(offset: number, buffers: readonly Uint8Array[], kind: WriteKind = 'data'): Promise<void> {
    this.#throwIfFailed();
    if (kind === 'tables') return this.#compareTables(offset, Buffer.concat(buffers));
    const end = buffers.reduce((sum, { length }) => sum + length, offset);
    const isKnown = this.#layout.holdsData(offset, end);
    if (!isKnown || offset < this.#position || this.#early.has(offset)) throw this.#changed();
    while (end > this.#position + this.#ring.length) {
      const before = this.#position;
      this.#advance();
      await this.#progress();
      this.#throwIfFailed();
      // Only data that the first pass had elsewhere can come so early while others are missing.
      if (!this.#isWriting && this.#position === before) throw this.#changed();
    }
    let at = offset;
    for (const bytes of buffers) {
      this.#put(at, bytes);
      at += bytes.length;
    }
    this.#early.set(offset, end - offset);
    this.#advance();
  }

  /** Copies bytes into the ring, in two parts where it ends. */
  #put(offset: number, bytes: Uint8Array): void {
    const at = offset % this.#ring.length;
    const first = bytes.subarray(0, this.#ring.length - at);
    this.#ring.set(first, at);
    this.#ring.set(bytes.subarray(first.length), 0);
  }

  /** Writes the rest, by which the reader knows that the image is complete. */
  async complete(length: number): Promise<void> {
    this.#throwIfFailed();
    if (length !== this.#layout.length || this.#equalTables !== this.#layout.tableWrites) {
      throw this.#changed();
    }
    this.#allowed = length;
    await this.#writing;
    this.#advance();
    await this.#writing;
    this.#throwIfFailed();
    if (this.#position !== length) throw this.#changed();
    await this.#stream.end();
  }

  async #compareTables(offset: number, bytes: Uint8Array): Promise<void> {
    const before = await this.#layout.tablesAt(offset);
    if (before === undefined || Buffer.compare(before, bytes) !== 0) throw this.#changed();
    this.#equalTables += 1;
  }

  /** Starts to write the bytes that may be written now, unless a write is in progress. */
  #advance(): void {
    if (this.#isWriting) return;
    this.#isWriting = true;
    this.#writing = this.#writeOn();
  }

  /** Never rejects. */
  async #writeOn(): Promise<void> {
    try {
      while (this.#position < this.#allowed) {
        const part = this.#part;
        if (part === undefined || this.#position < part.from) {
          await this.#writeZeros(part?.from ?? this.#allowed);
        } else if (this.#position >= part.to) {
          this.#part = this.#parts.next().value;
        } else if (part.kind === 'tables') {
          await this.#writeTables(part.from);
        } else if (!(await this.#writeData())) {
          return;
        }
        this.#wakeWaiting();
      }
    } catch (error) {
      this.#failure ??= { error };
    } finally {
      // At once, so that a write that comes now starts the next round.
      this.#isWriting = false;
      this.#wakeWaiting();
    }
  }

  async #writeZeros(to: number): Promise<void> {
    const length = Math.min(to, this.#allowed) - this.#position;
    await this.#stream.writeZeros(length);
    this.#position += length;
  }

  async #writeTables(from: number): Promise<void> {
    const bytes = await this.#layout.tablesAt(from);
    if (bytes === undefined) throw internalError(`no tables at offset ${from}`);
    const done = this.#position - from;
    const part = bytes.subarray(done, done + this.#allowed - this.#position);
    await this.#stream.write(part);
    this.#position += part.length;
  }

  /** @returns false if the data have not come yet */
  async #writeData(): Promise<boolean> {
    const start = this.#position;
    const length = this.#early.get(start);
    if (length === undefined) return false;
    const end = Math.min(start + length, this.#allowed);
    while (this.#position < end) {
      const at = this.#position % this.#ring.length;
      const part = this.#ring.subarray(at, Math.min(at + end - this.#position, at + LARGEST_WRITE));
      await this.#stream.write(part);
      this.#early.delete(this.#position);
      this.#position += part.length;
      const rest = start + length - this.#position;
      if (rest > 0) this.#early.set(this.#position, rest);
      this.#wakeWaiting();
    }
    return true;
  }

  /** Waits until something was written. Call it only while a write is in progress. */
  #progress(): Promise<void> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #wakeWaiting(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #changed(): Qcow2cError {
    return new Qcow2cError(
      'ERR_SOURCE_CHANGED',
      `${quoted(this.#source)} was changed during the conversion: its second reading gave another image than the ` +
        `first, so the image in ${quoted(this.name)} is incomplete`,
      { file: this.#source },
    );
  }
}
