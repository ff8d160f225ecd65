/**
 * Marks the host clusters of a file that byte ranges touch, with one bit for each. Memory is bounded and the result is
 * exact: for a file that is larger than one window, the caller adds all ranges again for each window.
 */
import { roundDown } from '../arithmetic.js';

/** Bytes of the bits: host clusters of 16 TiB at the usual cluster size. */
const WINDOW_BYTES = 32 * 1024 * 1024;
/** Fewest bytes of the bits, unless the file needs less. */
const LEAST_BYTES = 1024 * 1024;

/** @returns bytes of memory for the bits of a file: `wanted` for one window, and the least that works */
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
  /** The first host cluster of the window. */
  #first = 0;
  /** The lowest touched cluster after the window. */
  #next: number | undefined;
  #count = 0;
  #bytes = 0;

  /**
   * @param fileSize bytes
   * @param clusterSize bytes
   * @param windowBytes most bytes of the bits
   */
  constructor(fileSize: number, clusterSize: number, windowBytes: number) {
    this.#fileSize = fileSize;
    this.#clusterSize = clusterSize;
    this.#bits = new Uint8Array(Math.min(windowBytes, Math.ceil(fileSize / clusterSize / 8)));
  }

  /** Number of touched clusters. */
  get count(): number {
    return this.#count;
  }

  /** Touched bytes inside the file. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Marks every host cluster of the file that a range touches.
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
   * Ends a window, after all ranges were added.
   * @returns whether all ranges must be added again, in any order, for the next window
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
