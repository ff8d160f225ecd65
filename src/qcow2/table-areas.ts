/**
 * Writes the L2 tables and refcount blocks of a new image into the places that they got before their clusters. An
 * area of them is written at once, when all of its tables are complete: small clusters share an aligned write, and
 * several tables make one large write. Used by the image writer.
 */
import { internalError } from '../errors.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import type { HostOffset } from './addresses.js';
import type { TableStream } from './table-stream.js';

interface Area {
  readonly offset: HostOffset;
  readonly clusters: number;
  /** Those that are complete, in any order. */
  readonly tables: Uint8Array[];
  complete: number;
}

export class TableAreas {
  readonly #clusterSize: number;
  readonly #guard: OverlapGuard;
  readonly #stream: TableStream;
  /** Areas with tables that are not complete; only in the last are there places that no table has. */
  readonly #open: Area[] = [];
  #complete: Area[] = [];
  #inFlight: Promise<void> = Promise.resolve();

  constructor(clusterSize: number, guard: OverlapGuard, stream: TableStream) {
    this.#clusterSize = clusterSize;
    this.#guard = guard;
    this.#stream = stream;
  }

  /** Announces the clusters in which tables lie from now on. */
  begin(offset: HostOffset, clusters: number): void {
    this.#guard.reserve(offset, clusters * this.#clusterSize);
    this.#open.push({ offset, clusters, tables: [], complete: 0 });
  }

  /** Takes a table that does not change any more. @param offset its place, in an area */
  complete(offset: HostOffset, bytes: Uint8Array): void {
    const index = this.#open.findIndex((area) => offset < area.offset + area.clusters * this.#clusterSize);
    const area = this.#open[index];
    const place = area === undefined ? -1 : (offset - area.offset) / this.#clusterSize;
    if (area === undefined || place < 0 || !Number.isInteger(place) || area.tables[place] !== undefined) {
      throw internalError(`a table at offset ${offset}, which is no place of one`);
    }
    area.tables[place] = bytes;
    area.complete += 1;
    if (area.complete < area.clusters) return;
    this.#open.splice(index, 1);
    this.#complete.push(area);
  }

  /** Starts to write the areas that are complete; waits for the writes before. @throws their error */
  async writeComplete(): Promise<void> {
    for (const area of this.#complete.splice(0)) {
      await this.#inFlight;
      this.#inFlight = this.#stream.write(area.offset, area.tables);
      // Looked at by the next write or finish; nobody else is told.
      this.#inFlight.catch(() => {});
    }
  }

  /** Writes the rest, which is complete as far as it is in use, and waits until everything is on the descriptor. */
  async finish(): Promise<void> {
    this.#complete.push(...this.#open.splice(0));
    await this.writeComplete();
    await this.#inFlight;
  }
}
