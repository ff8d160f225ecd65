/**
 * One host cluster in the compressed write cache: its bytes, the filled ranges, the end of its data and the state of
 * its write. It keeps this record only; the cache decides when to write.
 */
import { roundUp } from '../arithmetic.js';
import { internalError } from '../errors.js';
import { copyBytes } from '../system/copy-bytes.js';
import { SortedRanges } from './sorted-ranges.js';

/** A promise and the functions that settle it. */
interface Signal {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
  readonly reject: (reason: unknown) => void;
}

/** @returns an unsettled signal; a rejection that no caller awaits is ignored */
export function signal(): Signal {
  let resolve = () => {};
  let reject: (reason: unknown) => void = () => {};
  const promise = new Promise<void>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

export class CachedHostCluster {
  readonly index: number;
  readonly clusterSize: number;
  /** Its slot; undefined while the cluster waits for one or has only a data end. */
  memory: Uint8Array | undefined;
  /** Set while the cluster waits for a slot; settled when the wait ends. */
  slotGranted: Signal | undefined;
  /** `queued` may still take bytes, `writing` may not. */
  state: 'open' | 'queued' | 'writing' = 'open';
  /** Set in the states `queued` and `writing`; settled when the write ends. */
  written: Signal | undefined;
  /** Whether bytes were filled in since the last write. */
  changed = false;
  readonly #filled = new SortedRanges();
  #dataEnd: number | undefined;

  constructor(index: number, clusterSize: number) {
    this.index = index;
    this.clusterSize = clusterSize;
  }

  /** End of the data, in bytes from the cluster's start: set by the allocator, otherwise the cluster's end. */
  get dataEnd(): number {
    return this.#dataEnd ?? this.clusterSize;
  }

  /** Whether it is filled up to its data end, so no byte follows. A cluster without bytes is never finished. */
  get isFinished(): boolean {
    return this.#filled.count > 0 && this.#filled.covers(0, this.dataEnd);
  }

  /** Refuses [start, end) when it is filled already or lies past the data end. */
  refuseOverlap(start: number, end: number): void {
    if (end > this.dataEnd || this.#filled.intersects(start, end)) {
      throw internalError(
        `host cluster ${this.index} cannot take bytes ${start} to ${end}: ` +
          (end > this.dataEnd ? `its data ends at ${this.dataEnd}` : 'some are filled already'),
      );
    }
  }

  /** Copies `bytes` to `start`. The cluster has a slot, and the caller has called refuseOverlap. */
  fill(start: number, bytes: Uint8Array): void {
    if (this.memory === undefined) throw internalError(`host cluster ${this.index} has no slot yet`);
    this.#filled.add(start, start + bytes.length);
    copyBytes(this.memory, start, bytes);
    this.changed = true;
  }

  /** Sets the data end, once. @param end bytes from the cluster's start, not below the end of the filled bytes */
  setDataEnd(end: number): void {
    if (!Number.isInteger(end) || end < 0 || end > this.clusterSize) {
      throw internalError(`data end ${end} lies outside host cluster ${this.index}`);
    }
    if (this.#dataEnd !== undefined) {
      throw internalError(`the data end of host cluster ${this.index} is set twice`);
    }
    if (end < this.#filled.end) {
      throw internalError(
        `data end ${end} of host cluster ${this.index} is below its filled bytes (${this.#filled.end})`,
      );
    }
    this.#dataEnd = end;
  }

  /**
   * @param unit bytes, at most the cluster size
   * @returns the bytes to write: from the cluster's start to the end of the filled bytes, padded to a multiple of
   *   `unit`; unfilled bytes and the padding are zeros
   */
  image(unit: number): Uint8Array {
    if (this.memory === undefined) throw internalError(`host cluster ${this.index} has no bytes`);
    const image = this.memory.subarray(0, roundUp(this.#filled.end, unit));
    for (const [start, end] of this.#filled.gaps(image.length)) image.fill(0, start, end);
    return image;
  }
}
