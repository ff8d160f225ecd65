/**
 * An image's file in memory for the fuzz targets. It counts the bytes read, and throws if they exceed the promised
 * bound. Zeros between the pieces cost nothing, so a file may have any length.
 */
import type { HostFile, MappedRange } from '../../../src/image/source.js';
import type { RawSource } from '../../../src/raw/raw-source.js';
import { promise } from './promises.js';

/** Bytes of the input for each cluster of the file. */
const BLOCK = 512;
const [SMALLEST, LARGEST] = [9, 21];

export class MemoryImage implements HostFile {
  readonly name = 'x.qcow2';
  readonly descriptor: number;
  /** Bytes that a read finds. */
  readonly length: number;
  /** In whole sectors, as a file's size is taken. */
  readonly size: number;
  readonly #blocks: Uint8Array;
  /** From where one block of the input is in the file to where the next one is, in bytes. */
  readonly #stride: number;
  #readsLeft = Number.POSITIVE_INFINITY;
  #bytesLeft = Number.POSITIVE_INFINITY;

  constructor(blocks: Uint8Array, stride: number, length: number, descriptor = 5) {
    this.#blocks = blocks;
    this.#stride = stride;
    this.length = length;
    this.size = Math.ceil(length / BLOCK) * BLOCK;
    this.descriptor = descriptor;
  }

  /** A file of just these bytes. */
  static of(bytes: Uint8Array): MemoryImage {
    return new MemoryImage(bytes, BLOCK, bytes.length);
  }

  /** @param length bytes */
  static ofZeros(length: number, descriptor: number): MemoryImage {
    return new MemoryImage(new Uint8Array(0), BLOCK, length, descriptor);
  }

  /**
   * The image of an input. The first 512 bytes of each cluster are those of the input, so images with clusters of 512
   * bytes are unchanged, and larger clusters need no larger inputs. Ends with a sector.
   */
  static folded(input: Uint8Array): MemoryImage {
    const bits = input.length < 24 ? SMALLEST : new DataView(input.buffer, input.byteOffset).getUint32(20);
    const stride = 2 ** Math.min(Math.max(bits, SMALLEST), LARGEST);
    const rest = input.length % BLOCK === 0 ? 0 : BLOCK;
    return new MemoryImage(input, stride, Math.floor(input.length / BLOCK) * stride + rest);
  }

  /** What may be read from now on. */
  allow(reads: number, bytes: number): void {
    this.#readsLeft = reads;
    this.#bytesLeft = bytes;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    promise(Number.isSafeInteger(offset) && offset >= 0, 'a read begins at an offset:', offset);
    this.#readsLeft -= 1;
    this.#bytesLeft -= into.length;
    promise(this.#readsLeft >= 0, 'reads are bounded: one too many, at', offset);
    promise(this.#bytesLeft >= 0, 'bytes that are read are bounded: too many, at', offset, into.length);
    return this.copy(offset, into);
  }

  /** As `read`, for the target itself. */
  copy(offset: number, into: Uint8Array): number {
    const found = Math.max(0, Math.min(into.length, this.length - offset));
    into.fill(0, 0, found);
    const stride = this.#stride;
    const blocks = Math.ceil(this.#blocks.length / BLOCK);
    for (
      let block = Math.floor(offset / stride);
      block < blocks && block * stride < offset + found;
      block += 1
    ) {
      const at = block * stride - offset;
      const from = Math.max(0, -at);
      if (from >= BLOCK) continue;
      const part = this.#blocks.subarray(block * BLOCK + from, (block + 1) * BLOCK);
      into.set(part.subarray(0, Math.max(0, found - at - from)), at + from);
    }
    return found;
  }

  /** The 64-bit number at an offset inside the file. */
  readBigUInt64BE(offset: number): bigint {
    const word = Buffer.alloc(8);
    this.copy(offset, word);
    return word.readBigUInt64BE();
  }

  /** For the model of the cluster map: its bytes by number. */
  get bytes(): this {
    return this;
  }

  sectorAt(offset: number) {
    return { kind: 'data', descriptor: this.descriptor, offset } as const;
  }

  async map(offset: number): Promise<MappedRange> {
    promise(
      Number.isSafeInteger(offset) && offset >= 0 && offset < this.size,
      'a map is asked inside:',
      offset,
    );
    return { kind: 'data', length: this.size - offset, descriptor: this.descriptor, offset };
  }

  fileOf(descriptor: number): string | undefined {
    return descriptor === this.descriptor ? this.name : undefined;
  }

  async refuseChanges(): Promise<void> {}

  async close(): Promise<void> {}

  /** For callers that need the class but use only this part of it. */
  get source(): RawSource {
    return this as unknown as RawSource;
  }
}
