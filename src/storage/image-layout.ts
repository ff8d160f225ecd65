/**
 * The layout of an image that was written once without keeping its data: the bytes of its tables, the ranges of its
 * data, and its length. With the layout the same image can be written a second time, from start to end. The tables are
 * kept compressed, in memory up to a limit and then in a file without a name, so memory does not grow with the disk.
 */
import type { FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { internalError, ioError, quoted } from '../errors.js';
import { zlib } from '../system/late-modules.js';
import { writeFully } from '../system/write-fully.js';
import { ForwardFile } from './forward-file.js';
import { SortedRanges } from './sorted-ranges.js';
import type { WriteKind } from './storage.js';
import { openUnnamedFile, readBack } from './unnamed-file.js';

/** Bytes of compressed tables in memory: those of a full disk of 1 TiB with the usual clusters. */
const MOST_IN_MEMORY = 48 * 2 ** 20;
/** Entries of tables are 64 bits long. */
const WORD_BYTES = 8;
const HALF_BYTES = WORD_BYTES / 2;

/** Tables that one call wrote, compressed. Offset and length in bytes. */
interface KeptTables {
  readonly offset: number;
  readonly length: number;
  /** The bytes, or where they are in the file without a name. */
  readonly kept: Uint8Array | { readonly at: number; readonly length: number };
}

/** A part of the image; the bytes between the parts are zeros. Half-open, in bytes. */
export interface LayoutPart {
  readonly kind: 'data' | 'tables';
  readonly from: number;
  readonly to: number;
}

/** @param tableBytes bytes of all tables @returns the most bytes of memory that their layout takes */
export function layoutMemory(tableBytes: number): number {
  // Tables whose entries ascend compress to less than half.
  return Math.min(MOST_IN_MEMORY, Math.ceil(tableBytes / 2));
}

export class ImageLayout implements AsyncDisposable {
  readonly #mostInMemory: number;
  readonly #directory: string;
  readonly #data = new SortedRanges();
  readonly #tables = new Map<number, KeptTables>();
  #inMemory = 0;
  #file: Promise<FileHandle> | undefined;
  #fileLength = 0;
  /** Bytes of the image, once it is complete. */
  length = 0;

  /** @param mostInMemory bytes of compressed tables @param directory of the file for the rest; tests replace both */
  constructor(mostInMemory = MOST_IN_MEMORY, directory = tmpdir()) {
    this.#mostInMemory = mostInMemory;
    this.#directory = directory;
  }

  /** The number of calls that wrote tables. */
  get tableWrites(): number {
    return this.#tables.size;
  }

  /** Records a range of data. Offset and length in bytes. */
  addData(offset: number, length: number): void {
    this.#data.add(offset, offset + length);
  }

  /** Keeps the bytes of tables. @throws Qcow2cError ERR_IO, ERR_INTERNAL for tables written twice */
  async addTables(offset: number, bytes: Uint8Array): Promise<void> {
    if (this.#tables.has(offset)) throw internalError(`tables at offset ${offset} were written twice`);
    const compressed = zlib().deflateRawSync(differences(bytes), { level: 1 });
    const entry = { offset, length: bytes.length };
    if (this.#inMemory + compressed.length <= this.#mostInMemory) {
      this.#inMemory += compressed.length;
      this.#tables.set(offset, { ...entry, kept: Uint8Array.from(compressed) });
      return;
    }
    const at = this.#fileLength;
    this.#fileLength += compressed.length;
    this.#tables.set(offset, { ...entry, kept: { at, length: compressed.length } });
    await this.#write(at, compressed);
  }

  /** @returns the tables that one call wrote at this offset; undefined if none did @throws Qcow2cError ERR_IO */
  async tablesAt(offset: number): Promise<Uint8Array | undefined> {
    const tables = this.#tables.get(offset);
    if (tables === undefined) return undefined;
    const { kept } = tables;
    const compressed = kept instanceof Uint8Array ? kept : await this.#read(kept.at, kept.length);
    return sums(zlib().inflateRawSync(compressed, { maxOutputLength: Math.max(1, tables.length) }));
  }

  /** Whether all these bytes were written as data. */
  holdsData(from: number, to: number): boolean {
    return this.#data.covers(from, to);
  }

  /** All parts in the order of the file, with one part for each call that wrote tables. */
  *parts(): Generator<LayoutPart> {
    const tables = [...this.#tables.values()]
      .map(({ offset, length }): LayoutPart => ({ kind: 'tables', from: offset, to: offset + length }))
      .sort((one, other) => one.from - other.from);
    let next = 0;
    for (const [from, to] of this.#data.ranges()) {
      for (let part = tables[next]; part !== undefined && part.from < from; part = tables[next]) {
        yield part;
        next += 1;
      }
      yield { kind: 'data', from, to };
    }
    yield* tables.slice(next);
  }

  /** Frees the file without a name. Never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    const file = await this.#file?.catch(() => undefined);
    await file?.close().catch(() => {});
  }

  #openFile(): Promise<FileHandle> {
    this.#file ??= openUnnamedFile(this.#directory);
    return this.#file;
  }

  async #write(at: number, bytes: Uint8Array): Promise<void> {
    const file = await this.#openFile();
    try {
      await writeFully(file.fd, bytes, at);
    } catch (error) {
      const what = `Could not write the tables to a temporary file in ${quoted(this.#directory)}`;
      throw ioError(`${what} (TMPDIR names another directory)`, error, { file: this.#directory });
    }
  }

  async #read(at: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length);
    const what = `Could not read the tables back from a temporary file in ${quoted(this.#directory)}`;
    await readBack(await this.#openFile(), at, bytes, what, { file: this.#directory });
    return bytes;
  }
}

/** The file of the first pass: keeps the layout and discards the data. */
export class LayoutFile extends ForwardFile {
  readonly #layout: ImageLayout;

  /** @param alignment of the second pass, in bytes */
  constructor(layout: ImageLayout, name: string, alignment: number) {
    super(name, alignment, undefined);
    this.#layout = layout;
  }

  async write(offset: number, buffers: readonly Uint8Array[], kind: WriteKind = 'data'): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (kind === 'data') this.#layout.addData(offset, length);
    else await this.#layout.addTables(offset, Buffer.concat(buffers));
  }

  async complete(length: number): Promise<void> {
    this.#layout.length = length;
  }
}

/**
 * Subtracts from each 64-bit word the one before it, in halves of 32 bits without a borrow. Entries of a table ascend,
 * so their differences compress to about a third.
 */
function differences(bytes: Uint8Array): Uint8Array {
  return mapWords(
    bytes,
    (word, before) => word - before,
    (input) => input,
  );
}

/** The reverse of `differences`. */
function sums(bytes: Uint8Array): Uint8Array {
  return mapWords(
    bytes,
    (word, before) => word + before,
    (_, output) => output,
  );
}

function mapWords(
  bytes: Uint8Array,
  change: (word: number, before: number) => number,
  previous: (input: DataView, output: DataView) => DataView,
): Uint8Array {
  const result = Uint8Array.from(bytes);
  const input = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const output = new DataView(result.buffer);
  const before = previous(input, output);
  for (let at = WORD_BYTES; at + HALF_BYTES <= bytes.length; at += HALF_BYTES) {
    output.setUint32(at, change(input.getUint32(at), before.getUint32(at - WORD_BYTES)));
  }
  return result;
}
