/**
 * Counts the references to each host cluster of a window. The counters have a fixed size: an image with more host
 * clusters is read once for each window. Rules: qcow2_inc_refcounts_imrt in QEMU.
 */
import { roundUp } from '../arithmetic.js';
import type { Finding, ImagePart } from './findings.js';

/** Host clusters of a window: 64 MiB of counters, which cover 1 TiB of an image at the usual cluster size. */
export const WINDOW_CLUSTERS = 2 ** 24;
/** Fewest clusters of a window, unless the image has less. */
const LEAST_CLUSTERS = 2 ** 18;
const COUNTER_BYTES = 4;
/** The highest count. With wider refcounts it means any higher number too. */
const HIGHEST_COUNT = 0xfffffffe;

/** @returns bytes of the counters for a file with enough memory, and the fewest possible */
export function countersBytes(
  fileSize: number,
  clusterSize: number,
): { readonly wanted: number; readonly least: number } {
  const clusters = Math.ceil(fileSize / clusterSize) + 1;
  return {
    wanted: COUNTER_BYTES * Math.min(clusters, WINDOW_CLUSTERS),
    least: COUNTER_BYTES * Math.min(clusters, LEAST_CLUSTERS),
  };
}

/** @param bytes of the counters @returns how many host clusters a window has, a multiple of 8 */
export function countersIn(bytes: number): number {
  return roundUp(Math.floor(bytes / COUNTER_BYTES), 8);
}

export class ReferenceCounters {
  /** One counter for each host cluster of the window; the last window has one past the end of the file too. */
  readonly counts: Uint32Array;
  /** The highest count: the image's highest refcount. */
  readonly max: number;
  /** Bytes of the file, rounded up to whole sectors. */
  readonly fileSize: number;
  /** Exact bytes of the file. */
  readonly fileEnd: number;
  readonly #clusterSize: number;
  readonly #findings: Finding[];
  #first = 0;
  #clusters: number;

  /**
   * @param file its length in bytes: in whole sectors (`size`), and exact (`end`)
   * @param refcountMax the highest refcount of the image
   * @param findings receives findings in order
   */
  constructor(
    file: { readonly size: number; readonly end: number },
    clusterSize: number,
    refcountMax: number,
    windowClusters: number,
    findings: Finding[],
  ) {
    this.fileSize = file.size;
    this.fileEnd = file.end;
    this.#clusterSize = clusterSize;
    this.#clusters = Math.ceil(file.size / clusterSize);
    this.counts = new Uint32Array(Math.min(windowClusters, this.#clusters + 1));
    this.max = Math.min(refcountMax, HIGHEST_COUNT);
    this.#findings = findings;
  }

  /** Host clusters of the image: those of the file, and one more once a reference reaches into it. */
  get clusters(): number {
    return this.#clusters;
  }

  /** The first cluster of the window. */
  get first(): number {
    return this.#first;
  }

  /** End of the window: all clusters of the image from there on are outside it. */
  get end(): number {
    return Math.min(this.#first + this.counts.length, this.#clusters);
  }

  /** Whether to report findings that are the same in every window. */
  get isFirst(): boolean {
    return this.#first === 0;
  }

  /** Moves to the next window. @returns false when there is none */
  nextWindow(): boolean {
    if (this.#first + this.counts.length >= this.#clusters) return false;
    this.#first += this.counts.length;
    this.counts.fill(0);
    return true;
  }

  /** Whether a range ends a cluster or more past the end of the file: then no part of it is counted. */
  isPastEnd(offset: number, size: number): boolean {
    return offset + size - this.fileSize >= this.#clusterSize;
  }

  /**
   * Counts a reference to bytes.
   * @param part of the image that the bytes belong to
   * @param exact the offset, if a number cannot hold it
   * @param at offset of the L2 entry that refers to them, in bytes
   * @param needed how many of the bytes, from the first on, must be in the file
   */
  add(part: ImagePart, offset: number, size: number, exact?: bigint, at?: number, needed = size): void {
    if (size <= 0) return;
    const place = () => ({ part, offset: exact ?? BigInt(offset), size: BigInt(size), at });
    if (this.isPastEnd(offset, size)) {
      if (this.isFirst) this.#findings.push({ kind: 'past-end', ...place() });
      return;
    }
    if (this.isFirst && needed > 0 && offset + needed > this.fileEnd) {
      this.#findings.push({ kind: 'cut-short', ...place(), fileEnd: this.fileEnd });
    }
    const last = Math.floor((offset + size - 1) / this.#clusterSize);
    this.#clusters = Math.max(this.#clusters, last + 1);
    const to = Math.min(last + 1 - this.#first, this.counts.length);
    for (let at = Math.max(0, Math.floor(offset / this.#clusterSize) - this.#first); at < to; at += 1) {
      this.addCluster(at);
    }
  }

  /** Counts a reference to one cluster. @param at its index in the window */
  addCluster(at: number): void {
    const count = this.counts[at] as number;
    if (count < this.max) this.counts[at] = count + 1;
    else this.#findings.push({ kind: 'overflow', offset: (this.#first + at) * this.#clusterSize });
  }

  /** References to a cluster so far; undefined outside the window. */
  of(cluster: number): number | undefined {
    return cluster >= this.#first ? this.counts[cluster - this.#first] : undefined;
  }
}
