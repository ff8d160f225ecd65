/**
 * Writes the L2 tables and refcount blocks of an image to their areas. An area is written at once when all of its
 * tables are complete, so that small clusters share an aligned write and several tables make one large write.
 */
import { internalError } from '../errors.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import type { HostOffset } from './addresses.js';
import type { TableStream } from './table-stream.js';

interface Area {
  readonly offset: HostOffset;
  readonly clusters: number;
  /** Complete tables, in any order. */
  readonly tables: Uint8Array[];
  complete: number;
}

export class TableAreas {
  readonly #clusterSize: number;
  readonly #guard: OverlapGuard;
  readonly #stream: TableStream;
  /** Areas with incomplete tables. Only the last may have room for further tables. */
  readonly #open: Area[] = [];
  /** Areas that are complete and not yet being written. */
  #complete: Area[] = [];
  #inFlight: Promise<void> = Promise.resolve();

  constructor(clusterSize: number, guard: OverlapGuard, stream: TableStream) {
    this.#clusterSize = clusterSize;
    this.#guard = guard;
    this.#stream = stream;
  }

  /** Announces the clusters of the next area. */
  begin(offset: HostOffset, clusters: number): void {
    this.#guard.reserve(offset, clusters * this.#clusterSize);
    this.#open.push({ offset, clusters, tables: [], complete: 0 });
  }

  /** Adds a table that no longer changes. @param offset its place, in an area */
  complete(offset: HostOffset, bytes: Uint8Array): void {
    const index = this.#open.findIndex((area) => offset < area.offset + area.clusters * this.#clusterSize);
    const area = this.#open[index];
    const place = area === undefined ? -1 : (offset - area.offset) / this.#clusterSize;
    if (area === undefined || place < 0 || !Number.isInteger(place) || area.tables[place] !== undefined) {
      throw internalError(`a table at offset ${offset}, where no area has room for one`);
    }
    area.tables[place] = bytes;
    area.complete += 1;
    if (area.complete < area.clusters) return;
    this.#open.splice(index, 1);
    this.#complete.push(area);
  }

  /** Starts to write the complete areas, after the writes before. @throws their error */
  async writeComplete(): Promise<void> {
    for (const area of this.#complete.splice(0)) {
      await this.#inFlight;
      this.#inFlight = this.#stream.write(area.offset, area.tables);
      // The next write or `finish` reports the error.
      this.#inFlight.catch(() => {});
    }
  }

  /** Writes the remaining complete tables and waits until all bytes are on the descriptor. */
  async finish(): Promise<void> {
    this.#complete.push(...this.#open.splice(0));
    await this.writeComplete();
    await this.#inFlight;
  }
}
