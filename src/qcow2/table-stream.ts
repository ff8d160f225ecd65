/** Writes consecutive tables of any size through one aligned buffer. */
import { roundUp } from '../arithmetic.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { alignedMemory } from '../system/aligned-memory.js';
import type { HostOffset } from './addresses.js';

/** Bytes of one write: the largest cluster, so that each host cluster is written at once. */
const WRITE_BYTES = 2 * 1024 * 1024;

export class TableStream {
  readonly #guard: OverlapGuard;
  #memory: Uint8Array | undefined;
  /** Calls run in order, because they share the memory. */
  #last: Promise<void> = Promise.resolve();

  constructor(guard: OverlapGuard) {
    this.#guard = guard;
  }

  /**
   * @param start offset of the first table, a multiple of the storage's alignment, in a place reserved for tables
   * @param tables their bytes; the last write is padded with zeros to the storage's alignment
   * @throws the error of the first failed write; later tables are not written
   */
  write(start: HostOffset, tables: readonly Uint8Array[]): Promise<void> {
    this.#last = this.#last.then(() => this.#write(start, tables));
    return this.#last;
  }

  async #write(start: HostOffset, tables: readonly Uint8Array[]): Promise<void> {
    this.#memory ??= alignedMemory(WRITE_BYTES);
    const memory = this.#memory.subarray(0, WRITE_BYTES);
    let offset: number = start;
    let filled = 0;
    const send = async () => {
      const bytes = memory.subarray(0, roundUp(filled, this.#guard.alignment)).fill(0, filled);
      await this.#guard.writeTables(offset, [bytes]);
      offset += bytes.length;
      filled = 0;
    };
    for (const table of tables) {
      for (let taken = 0; taken < table.length; ) {
        const part = table.subarray(taken, taken + memory.length - filled);
        memory.set(part, filled);
        filled += part.length;
        taken += part.length;
        if (filled === memory.length) await send();
      }
    }
    if (filled > 0) await send();
  }
}
