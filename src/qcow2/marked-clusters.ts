/**
 * Which host clusters of a file some byte ranges touch, told by a bit for each: exact for files of any size, in
 * memory that does not grow with them. A file too large for one window is gone through again for the next one.
 */
import { roundDown } from '../arithmetic.js';

/** Bytes of the bits: host clusters of 16 TiB at the usual cluster size. */
const WINDOW_BYTES = 32 * 1024 * 1024;
/** The fewest, which a file that needs no more has anyway. */
const LEAST_BYTES = 1024 * 1024;

/** @returns bytes that the bits of a file take if there is memory for them, and how few will do */
export function markedClustersBytes(
  fileSize: number,
  clusterSize: number,
): { readonly wanted: number; readonly least: number } {
  const wanted = Math.min(WINDOW_BYTES, Math.ceil(fileSize / clusterSize / 8));
  return { wanted, least: Math.min(wanted, LEAST_BYTES) };
}

export class MarkedClusters {
  readonly #fileSize: number;
  readonly #clusterSize: number;
  readonly #bits: Uint8Array;
  /** The host clusters that have bits: from here on, as many as there are bits. */
  #first = 0;
  /** The lowest one behind them that was touched. */
  #next: number | undefined;
  #count = 0;
  #bytes = 0;

  /**
   * @param fileSize bytes
   * @param clusterSize bytes
   * @param windowBytes of the bits at most
   */
  constructor(fileSize: number, clusterSize: number, windowBytes: number) {
    this.#fileSize = fileSize;
    this.#clusterSize = clusterSize;
    this.#bits = new Uint8Array(Math.min(windowBytes, Math.ceil(fileSize / clusterSize / 8)));
  }

  /** How many are touched. */
  get count(): number {
    return this.#count;
  }

  /** Bytes that the file has there. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Marks every host cluster that a range touches, as far as the file goes.
   * @param offset bytes
   * @param length bytes, at least one
   */
  add(offset: number, length: number): void {
    if (offset >= this.#fileSize) return;
    const size = this.#clusterSize;
    const end = Math.min(offset + length, this.#fileSize);
    for (let at = roundDown(offset, size); at < end; at += size) this.#mark(at / size);
  }

  /**
   * To be called when all ranges were added.
   * @returns whether they must be added again, in any order, for what lay behind the window
   */
  advance(): boolean {
    if (this.#next === undefined) return false;
    this.#first = this.#next;
    this.#next = undefined;
    this.#bits.fill(0);
    return true;
  }

  #mark(cluster: number): void {
    const index = cluster - this.#first;
    if (index < 0) return;
    if (index >= this.#bits.length * 8) {
      this.#next = Math.min(this.#next ?? cluster, cluster);
      return;
    }
    const at = Math.floor(index / 8);
    const bit = 1 << (index % 8);
    const byte = this.#bits[at] ?? 0;
    if ((byte & bit) !== 0) return;
    this.#bits[at] = byte | bit;
    this.#count += 1;
    this.#bytes += Math.min(this.#clusterSize, this.#fileSize - cluster * this.#clusterSize);
  }
}
