/**
 * Reads the refcount table and the refcounts of an image as QEMU does (qcow2_get_refcount). Specification: "Host
 * cluster management".
 */
import { Qcow2cError, systemReason } from '../errors.js';
import { REFCOUNT_BLOCK_MASK, wholeEntry } from '../qcow2/entry-bits.js';
import { MAX_FILE_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { getExactRefcount, LARGE_REFCOUNT, unpackRefcounts } from '../qcow2/refcount-block.js';
import { TableCache } from '../qcow2/table-cache.js';
import type { CheckedImage } from './checked-image.js';
import type { OnFinding } from './findings.js';

/** Bytes of a table read at once. */
const READ_BYTES = 65536;
/** A refcount that is too large for 32 bits or is unknown; `RefcountReader.refcountOf` tells which. */
export const ASK = LARGE_REFCOUNT;

interface RefcountTableEntry {
  readonly index: number;
  /** Offset of the entry in the file, in bytes. */
  readonly at: number;
  readonly entry: bigint;
  /** Offset of the refcount block, in bytes, of up to 64 bits; 0n: there is none. */
  readonly offset: bigint;
  readonly hasReservedBits: boolean;
}

type ImageWithRefcounts = Pick<CheckedImage, 'file' | 'header' | 'geometry'>;

/** Entries of the refcount table. */
export function refcountTableSize({ header, geometry }: ImageWithRefcounts): number {
  return (header.refcountTableClusters * geometry.clusterSize) / TABLE_ENTRY_BYTES;
}

/** Reads the entries of the refcount table that are not 0. @throws Qcow2cError ERR_IO */
export async function* refcountTableEntries(image: ImageWithRefcounts): AsyncGenerator<RefcountTableEntry> {
  const { file, header } = image;
  const size = refcountTableSize(image);
  const memory = new Uint8Array(Math.min(READ_BYTES, size * TABLE_ENTRY_BYTES));
  const view = new DataView(memory.buffer);
  for (let first = 0; first < size; first += memory.length / TABLE_ENTRY_BYTES) {
    const start = header.refcountTableOffset + first * TABLE_ENTRY_BYTES;
    const length = Math.min(memory.length, (size - first) * TABLE_ENTRY_BYTES);
    await file.read(start, memory.subarray(0, length));
    for (let at = 0; at < length; at += TABLE_ENTRY_BYTES) {
      const [high, low] = [view.getUint32(at), view.getUint32(at + 4)];
      if (high === 0 && low === 0) continue;
      const entry = wholeEntry(high, low);
      const index = first + at / TABLE_ENTRY_BYTES;
      const offset = entry & REFCOUNT_BLOCK_MASK;
      yield { index, at: start + at, entry, offset, hasReservedBits: offset !== entry };
    }
  }
}

/** A refcount, or the reason why it is unknown. */
type FoundRefcount = { readonly value: bigint } | { readonly reason: string };

export class RefcountReader {
  readonly #image: ImageWithRefcounts;
  readonly #onFinding: OnFinding;
  readonly #tableSize: number;
  readonly #tables: TableCache;
  #toldOfUnaligned = false;

  /** @param onFinding called for the first refcount block that is not aligned */
  constructor(image: ImageWithRefcounts, onFinding: OnFinding) {
    this.#image = image;
    this.#onFinding = onFinding;
    this.#tableSize = refcountTableSize(image);
    this.#tables = new TableCache(image.file, 'zeros');
  }

  /** Reads the refcount of one cluster. @param cluster any, inside the image or not */
  async refcountOf(cluster: number): Promise<FoundRefcount> {
    const { refcountBlockEntries, refcountBits } = this.#image.geometry;
    const block = await this.#blockOf(Math.floor(cluster / refcountBlockEntries));
    if ('reason' in block) return block;
    if (block.offset === undefined) return { value: 0n };
    const index = cluster % refcountBlockEntries;
    const inWord = 64 / refcountBits;
    try {
      const { view, at } = await this.#tables.entriesFrom(block.offset + 8 * Math.floor(index / inWord), 8);
      const word = new Uint8Array(view.buffer, view.byteOffset + at, 8);
      return { value: getExactRefcount(word, index % inWord, refcountBits) };
    } catch (error) {
      return { reason: reasonOf(error) };
    }
  }

  /**
   * Reads the refcounts of consecutive clusters.
   * @param first the first cluster; its refcount begins a byte, and so does the one after the last of a block
   * @param into receives them, or `ASK` where `refcountOf` must be called
   */
  async read(first: number, into: Uint32Array): Promise<void> {
    const { refcountBlockEntries } = this.#image.geometry;
    const reads: Promise<void>[] = [];
    for (let done = 0; done < into.length; ) {
      const index = (first + done) % refcountBlockEntries;
      const part = into.subarray(done, done + refcountBlockEntries - index);
      const block = await this.#blockOf(Math.floor((first + done) / refcountBlockEntries));
      if ('reason' in block) part.fill(ASK);
      else if (block.offset === undefined) part.fill(0);
      else reads.push(this.#readBlock(block.offset, index, part));
      done += part.length;
    }
    await Promise.all(reads);
  }

  /** @param offset of the block in the file, in bytes; @param index of the first refcount in it */
  async #readBlock(offset: number, index: number, into: Uint32Array): Promise<void> {
    const { refcountBits } = this.#image.geometry;
    const bytes = new Uint8Array(Math.ceil((into.length * refcountBits) / 8));
    try {
      await this.#image.file.read(offset + (index * refcountBits) / 8, bytes);
      unpackRefcounts(bytes, refcountBits, into);
    } catch (error) {
      if (!(error instanceof Qcow2cError)) throw error;
      into.fill(ASK);
    }
  }

  /** Offset of a refcount block in the file, in bytes; undefined: all its refcounts are 0. */
  async #blockOf(
    index: number,
  ): Promise<{ readonly offset: number | undefined } | { readonly reason: string }> {
    const { header, geometry } = this.#image;
    if (index >= this.#tableSize) return { offset: undefined };
    const entryAt = header.refcountTableOffset + index * TABLE_ENTRY_BYTES;
    const { view, at } = await this.#tables.entriesFrom(entryAt, TABLE_ENTRY_BYTES);
    const offset = view.getBigUint64(at) & REFCOUNT_BLOCK_MASK;
    if (offset === 0n) return { offset: undefined };
    if (offset % BigInt(geometry.clusterSize) !== 0n) {
      if (!this.#toldOfUnaligned) {
        this.#toldOfUnaligned = true;
        await this.#onFinding({ kind: 'refcount-block-unusable', index, offset });
      }
      return { reason: 'Input/output error' };
    }
    if (offset > MAX_FILE_BYTES - BigInt(geometry.clusterSize)) return { reason: 'Input/output error' };
    const place = Number(offset);
    return { offset: place < this.#image.file.size ? place : undefined };
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Qcow2cError)) throw error;
  return systemReason(error.cause);
}
