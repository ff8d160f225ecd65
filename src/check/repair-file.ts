/**
 * The file of an image being repaired. It offers the reads that the analysis needs, and gathers small adjacent
 * changes. Used by all parts of the repair.
 *
 * Changes are written in whole sectors; a disk writes a sector completely or not at all. Only `sync` orders writes:
 * changes before it are durable before any later change is written.
 */
import { roundUp } from '../arithmetic.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';
import { UnalignedWriter } from '../storage/unaligned-writer.js';
import type { CheckedFile } from './checked-image.js';

/** Bytes of the window that gathers changes. */
const WINDOW_BYTES = 65536;

export class RepairFile implements CheckedFile {
  readonly name: string;
  readonly #storage: Storage;
  readonly #writer: UnalignedWriter;
  readonly #window = new Uint8Array(WINDOW_BYTES);
  #size: number;
  /** Offset of the window in the file; -1 before the first change. */
  #start = -1;
  /** Changed bytes of the window, in whole sectors; none when equal. */
  #from = 0;
  #to = 0;

  /**
   * @param storage open for reading and writing; reads may begin and end anywhere
   * @param size bytes of the file
   */
  constructor(storage: Storage, size: number) {
    this.name = storage.name;
    this.#storage = storage;
    this.#writer = new UnalignedWriter(storage);
    this.#size = size;
  }

  /** In whole sectors; grows with appended bytes. */
  get size(): number {
    return roundUp(this.#size, SECTOR_SIZE);
  }

  /** Includes changes that are not written yet. */
  async read(offset: number, into: Uint8Array): Promise<number> {
    await this.#write();
    return this.#storage.read(offset, into);
  }

  /**
   * Changes bytes inside the file.
   * @param at offset in bytes; the range lies inside a sector
   * @param change overwrites the bytes it is given
   * @returns whether the bytes changed
   */
  async change(at: number, length: number, change: (bytes: Uint8Array) => void): Promise<boolean> {
    const start = at - (at % WINDOW_BYTES);
    if (start !== this.#start) {
      await this.#write();
      this.#start = -1;
      const found = await this.#storage.read(start, this.#window);
      this.#window.fill(0, found);
      this.#start = start;
    }
    const from = at - start;
    const bytes = this.#window.subarray(from, from + length);
    const before = bytes.slice();
    change(bytes);
    if (Buffer.compare(before, bytes) === 0) return false;
    const [firstSector, end] = [from - (from % SECTOR_SIZE), roundUp(from + length, SECTOR_SIZE)];
    this.#from = this.#to === this.#from ? firstSector : Math.min(this.#from, firstSector);
    this.#to = Math.max(this.#to, end);
    return true;
  }

  /**
   * Writes bytes after all used parts of the file.
   * @param offset in bytes; no reference leads there
   */
  async append(offset: number, bytes: Uint8Array): Promise<void> {
    await this.#write();
    this.#start = -1;
    await this.#writer.write(offset, bytes);
    this.#size = Math.max(this.#size, offset + bytes.length);
  }

  /** Makes all changes durable. @throws Qcow2cError ERR_IO */
  async sync(): Promise<void> {
    await this.#write();
    await this.#storage.sync();
  }

  async #write(): Promise<void> {
    const [from, to] = [this.#from, this.#to];
    this.#from = 0;
    this.#to = 0;
    if (from === to) return;
    await this.#writer.write(this.#start + from, this.#window.subarray(from, to));
    this.#size = Math.max(this.#size, this.#start + to);
  }
}
