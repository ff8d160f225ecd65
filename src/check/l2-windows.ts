/**
 * Reads L1 tables and their L2 tables in order. At most some MiB of each level are in memory, reused for each L1
 * table. Used by both halves of the analysis, which handle 32-bit halves of entries: a bigint for each would
 * dominate the run time.
 */
import { offsetOfHalves } from '../qcow2/entry-bits.js';
import { TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { refuseAbort } from '../workers/pipeline.js';
import type { CheckedImage } from './checked-image.js';

/** Bytes of an L1 table that are read at once, and of L2 tables, unless one is larger. */
const L1_READ_BYTES = 65536;
const L2_READ_BYTES = 2 ** 20;
/** L2 entries between two calls that report findings; this bounds the findings in memory. */
const SLICE_ENTRIES = 8192;

export interface L1EntryHalves {
  readonly index: number;
  /** Offset of the entry in the file, in bytes. */
  readonly at: number;
  readonly high: number;
  readonly low: number;
  /** Offset of the L2 table in bytes: exact, because it has 47 bits. */
  readonly l2Offset: number;
}

/** Receives the entries. Its handling of L2 entries takes most of the time and must not wait. */
interface TableVisitor {
  /** Called for an L1 entry that is not 0. @returns whether to read its L2 table */
  l1Entry(entry: L1EntryHalves): boolean | Promise<boolean>;
  /**
   * Called for consecutive entries of an L2 table.
   * @param view the table
   * @param tableOffset of the table in the file, in bytes
   * @param from the first entry, `to`: after the last
   */
  l2Entries(view: DataView, tableOffset: number, from: number, to: number): void;
  /** Called after every part to report findings. */
  flush(): Promise<void> | undefined;
}

/** Reads the tables of one image, one L1 table at a time. */
export class TableWalk {
  readonly #file: CheckedImage['file'];
  readonly #geometry: CheckedImage['geometry'];
  readonly #l1Memory = new Uint8Array(L1_READ_BYTES);
  readonly #l2Tables: L2TableReader;

  constructor({ file, geometry }: Pick<CheckedImage, 'file' | 'geometry'>) {
    this.#file = file;
    this.#geometry = geometry;
    this.#l2Tables = new L2TableReader(file, geometry.clusterSize);
  }

  /**
   * @param l1 the L1 table: offset in the file in bytes, and number of entries
   * @param onL1Entries called with the number of entries that are done
   * @throws Qcow2cError ERR_IO, ERR_ABORTED
   */
  async walk(
    l1: { readonly offset: number; readonly entries: number },
    visitor: TableVisitor,
    signal: AbortSignal | undefined,
    onL1Entries?: (done: number) => void,
  ): Promise<void> {
    const { l2Entries } = this.#geometry;
    // An L2 table may have been repaired since the last walk.
    this.#l2Tables.forget();
    for (let first = 0; first < l1.entries; ) {
      refuseAbort(signal);
      const count = Math.min(L1_READ_BYTES / TABLE_ENTRY_BYTES, l1.entries - first);
      const start = l1.offset + first * TABLE_ENTRY_BYTES;
      const view = new DataView(this.#l1Memory.buffer, 0, count * TABLE_ENTRY_BYTES);
      await this.#file.read(start, this.#l1Memory.subarray(0, view.byteLength));
      for (let at = 0; at < view.byteLength; at += TABLE_ENTRY_BYTES) {
        const [high, low] = [view.getUint32(at), view.getUint32(at + 4)];
        if (high === 0 && low === 0) continue;
        const l2Offset = offsetOfHalves(high, low);
        const index = first + at / TABLE_ENTRY_BYTES;
        const wanted = visitor.l1Entry({ index, at: start + at, high, low, l2Offset });
        // Entries past the end of the file are 0 and need no visit.
        if ((typeof wanted === 'boolean' ? wanted : await wanted) && l2Offset < this.#file.size) {
          const pause = yieldToEventLoop(signal);
          if (pause !== undefined) await pause;
          const table = this.#l2Tables.loaded(l2Offset) ?? (await this.#l2Tables.load(view, at));
          for (let from = 0; from < l2Entries; from += SLICE_ENTRIES) {
            visitor.l2Entries(table, l2Offset, from, Math.min(from + SLICE_ENTRIES, l2Entries));
            const flushed = visitor.flush();
            if (flushed !== undefined) await flushed;
          }
        }
        const flushed = visitor.flush();
        if (flushed !== undefined) await flushed;
      }
      first += count;
      onL1Entries?.(first);
    }
  }
}

/** The next L2 tables to be read: several are in memory, and adjacent ones are read at once. */
class L2TableReader {
  readonly #file: CheckedImage['file'];
  readonly #clusterSize: number;
  readonly #memory: Uint8Array<ArrayBuffer>;
  /** Offsets of the tables in memory, in bytes, in file order. */
  #offsets: number[] = [];
  /** Index of the last one returned. */
  #place = 0;

  constructor(file: CheckedImage['file'], clusterSize: number) {
    this.#file = file;
    this.#clusterSize = clusterSize;
    this.#memory = new Uint8Array(Math.max(L2_READ_BYTES, clusterSize));
  }

  forget(): void {
    this.#offsets = [];
  }

  /** Returns the table if it is in memory and is the last one returned or the next. @param offset in bytes */
  loaded(offset: number): DataView<ArrayBuffer> | undefined {
    if (this.#offsets[this.#place] !== offset) {
      if (this.#offsets[this.#place + 1] !== offset) return undefined;
      this.#place += 1;
    }
    return new DataView(this.#memory.buffer, this.#place * this.#clusterSize, this.#clusterSize);
  }

  /** Reads the tables of an L1 table from the entry at `at` on. @returns the first of them */
  async load(l1: DataView, at: number): Promise<DataView<ArrayBuffer>> {
    const most = this.#memory.length / this.#clusterSize;
    const offsets: number[] = [];
    for (let next = at; next < l1.byteLength && offsets.length < most; next += TABLE_ENTRY_BYTES) {
      const offset = offsetOfHalves(l1.getUint32(next), l1.getUint32(next + 4));
      if (next > at && (offset === 0 || offset >= this.#file.size || offset === offsets.at(-1))) continue;
      offsets.push(offset);
    }
    this.#offsets = [];
    const reads: Promise<unknown>[] = [];
    for (let from = 0, to = 0; from < offsets.length; from = to) {
      const start = offsets[from] as number;
      do to += 1;
      while (offsets[to] === start + (to - from) * this.#clusterSize);
      const into = this.#memory.subarray(from * this.#clusterSize, to * this.#clusterSize);
      reads.push(this.#file.read(start, into));
    }
    await Promise.all(reads);
    this.#offsets = offsets;
    this.#place = 0;
    return new DataView(this.#memory.buffer, 0, this.#clusterSize);
  }
}
