/**
 * How often each host cluster of a window is referred to. The counters have a fixed size: an image with more host
 * clusters is gone through once for each window. Rules: qcow2_inc_refcounts_imrt in QEMU.
 */
import { roundUp } from '../arithmetic.js';
import type { Finding, ImagePart } from './findings.js';

/** Host clusters of a window: 64 MiB of counters, which are 1 TiB of an image at the usual cluster size. */
export const WINDOW_CLUSTERS = 2 ** 24;
/** The fewest of a window, which an image with no more has anyway. */
const LEAST_CLUSTERS = 2 ** 18;
const COUNTER_BYTES = 4;
/** No counter counts further; with wider refcounts it stands for more than anybody will ever count. */
const HIGHEST_COUNT = 0xfffffffe;

/** @returns bytes that the counters of a file take if there is memory for them, and how few will do */
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
  /** One for each host cluster of the window; the last window has one behind the end of the file too. */
  readonly counts: Uint32Array;
  /** Highest count: what a refcount of the image holds. */
  readonly max: number;
  /** Bytes of the file, in whole sectors. */
  readonly fileSize: number;
  /** Bytes of the file; its last sector may be incomplete. */
  readonly fileEnd: number;
  readonly #clusterSize: number;
  readonly #findings: Finding[];
  #first = 0;
  #clusters: number;

  /**
   * @param file its length in bytes: in whole sectors (`size`), and as it is (`end`)
   * @param refcountMax the highest refcount of the image
   * @param findings takes what is found, in order
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

  /** Host clusters of the image: those of the file, and one more once something reaches into it. */
  get clusters(): number {
    return this.#clusters;
  }

  /** The first cluster of the window. */
  get first(): number {
    return this.#first;
  }

  /** Where the window ends: no cluster of the image from there on is in it. */
  get end(): number {
    return Math.min(this.#first + this.counts.length, this.#clusters);
  }

  /** Whether things are found here that are the same in every window. */
  get isFirst(): boolean {
    return this.#first === 0;
  }

  /** Goes on with the next clusters. @returns false when there are none */
  nextWindow(): boolean {
    if (this.#first + this.counts.length >= this.#clusters) return false;
    this.#first += this.counts.length;
    this.counts.fill(0);
    return true;
  }

  /** Whether a range ends a cluster or more behind the end of the file: then nothing of it is counted. */
  isPastEnd(offset: number, size: number): boolean {
    return offset + size - this.fileSize >= this.#clusterSize;
  }

  /**
   * A reference to bytes.
   * @param part of the image that is there
   * @param exact the offset, where a number does not hold it
   * @param at of the L2 entry that refers to them, in bytes
   * @param needed how many of the bytes must be in the file, from the first on
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

  /** A reference to one cluster. @param at its place in the window */
  addCluster(at: number): void {
    const count = this.counts[at] as number;
    if (count < this.max) this.counts[at] = count + 1;
    else this.#findings.push({ kind: 'overflow', offset: (this.#first + at) * this.#clusterSize });
  }

  /** References to a cluster so far; undefined when it is not in the window. */
  of(cluster: number): number | undefined {
    return cluster >= this.#first ? this.counts[cluster - this.#first] : undefined;
  }
}
