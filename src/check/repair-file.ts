/**
 * The file of an image that is being repaired: reads as the analysis needs them, and small changes in place, which
 * are gathered while they lie close together. Used by all parts of the repair.
 *
 * What was changed is written in whole sectors, each of which a disk writes wholly or not at all. Nothing is ordered
 * but by `sync`: what was changed before it is durable before anything changed after it is written.
 */
import { roundUp } from '../arithmetic.js';
import type { Storage } from '../storage/storage.js';
import { UnalignedWriter } from '../storage/unaligned-writer.js';
import type { ImageFile } from './checked-image.js';

const SECTOR = 512;
/** Bytes of the file that changes are gathered in. */
const WINDOW_BYTES = 65536;

export class RepairFile implements ImageFile {
  readonly name: string;
  readonly #storage: Storage;
  readonly #writer: UnalignedWriter;
  readonly #window = new Uint8Array(WINDOW_BYTES);
  #size: number;
  /** Where in the file the window begins; -1 before the first change. */
  #start = -1;
  /** Changed bytes of the window, from sector to sector; none when equal. */
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

  /** In whole sectors; grows with what is appended. */
  get size(): number {
    return roundUp(this.#size, SECTOR);
  }

  /** Gives what was changed, too. */
  async read(offset: number, into: Uint8Array): Promise<number> {
    await this.#write();
    return this.#storage.read(offset, into);
  }

  /**
   * Changes some bytes that are in the file.
   * @param at where, in bytes; a range inside a sector
   * @param change is handed the bytes as they are, and overwrites them
   * @returns whether they are others now
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
    const [firstSector, end] = [from - (from % SECTOR), roundUp(from + length, SECTOR)];
    this.#from = this.#to === this.#from ? firstSector : Math.min(this.#from, firstSector);
    this.#to = Math.max(this.#to, end);
    return true;
  }

  /**
   * Writes bytes behind everything that the image uses of the file.
   * @param offset in bytes, where nothing is that anybody refers to
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
