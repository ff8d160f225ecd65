/**
 * A simple model of the compressed write cache: the accepted bytes, and the allowed number of writes of each host
 * cluster. It has no slots, queues or ranges.
 */
import type { RecordedWrite } from './recording-storage.js';

/** Bytes of a host cluster in the model's runs: small, but larger than the padding. */
export const CLUSTER = 8192;
/** Value of storage bytes that were never written. */
export const BACKGROUND = 0xee;
/** A host cluster is rounded up to this many bytes when it is written. */
const UNIT = 4096;

/** The byte at `at` of a host cluster in its `life`th use; never 0 and never the background. */
function byteAt(cluster: number, at: number, life: number): number {
  return 1 + ((cluster * 57 + at * 31 + life * 101) % 200);
}

class ModelCluster {
  readonly index: number;
  /** Counts uses: a dropped host cluster may be used again. */
  readonly life: number;
  /** Accepted bytes; 0 = none, and where they end. */
  bytes = new Uint8Array(CLUSTER);
  end = 0;
  /** 1 for each byte in a write that has not ended, and the number of these bytes. */
  called = new Uint8Array(CLUSTER);
  calls = 0;
  /** Number of the first storage write that can be of this life, and of the first that cannot. */
  readonly from: number;
  to = Number.POSITIVE_INFINITY;
  /** Flushes begun before the first byte was passed, and before the last was accepted or dropped. */
  readonly flushesBefore: number;
  flushesBy: number;
  dropped = false;
  /** Whether some of it may have been written straight through. */
  straight = false;

  constructor(index: number, life: number, from: number, flushes: number) {
    this.index = index;
    this.life = life;
    this.from = from;
    this.flushesBefore = flushes;
    this.flushesBy = flushes;
  }
}

export class CacheModel {
  readonly clusters = new Map<number, ModelCluster>();
  /** Flushes and stops begun so far. */
  flushes = 0;

  /** Starts a use of a host cluster. @param writesSoFar of the storage */
  open(index: number, writesSoFar: number): ModelCluster {
    const life = (this.clusters.get(index)?.life ?? 0) + 1;
    const cluster = new ModelCluster(index, life, writesSoFar, this.flushes);
    this.clusters.set(index, cluster);
    return cluster;
  }

  get(index: number): ModelCluster {
    const cluster = this.clusters.get(index);
    if (cluster === undefined) throw new Error(`the model has no host cluster ${index}`);
    return cluster;
  }

  /** The bytes for a write of [offset, offset + length), which the caller makes next. */
  call(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (const { cluster, start, end, position } of this.#parts(offset, length)) {
      for (let at = start; at < end; at += 1) {
        bytes[position + at - start] = byteAt(cluster.index, at, cluster.life);
      }
      cluster.called.fill(1, start, end);
      cluster.calls += end - start;
    }
    return bytes;
  }

  /** The write has resolved. */
  accept(offset: number, bytes: Uint8Array): void {
    for (const { cluster, start, end, position } of this.#parts(offset, bytes.length)) {
      cluster.bytes.set(bytes.subarray(position, position + end - start), start);
      cluster.end = Math.max(cluster.end, end);
      cluster.called.fill(0, start, end);
      cluster.calls -= end - start;
      cluster.flushesBy = this.flushes;
    }
  }

  /** A copy of the model, to compare with a read while more bytes are accepted. */
  frozen(): CacheModel {
    const copy = new CacheModel();
    for (const cluster of this.clusters.values()) {
      const { index, life, from, flushesBefore, bytes, called } = cluster;
      const frozen = new ModelCluster(index, life, from, flushesBefore);
      copy.clusters.set(
        index,
        Object.assign(frozen, cluster, { bytes: bytes.slice(), called: called.slice() }),
      );
    }
    return copy;
  }

  /** All bytes accepted so far and not dropped, to check later that they are in `bytesOf`. */
  snapshot(): (bytesOf: (index: number) => Uint8Array) => string | undefined {
    const then = [...this.clusters].map(([index, { life, bytes }]) => ({
      index,
      life,
      bytes: bytes.slice(),
    }));
    return (bytesOf) => {
      for (const { index, life, bytes } of then) {
        const now = this.get(index);
        if (now.dropped || now.life !== life) continue;
        const found = bytesOf(index);
        for (let at = 0; at < CLUSTER; at += 1) {
          if (bytes[at] !== 0 && bytes[at] !== found[at]) {
            return `byte ${at} of host cluster ${index} was accepted and is not there`;
          }
        }
      }
      return undefined;
    };
  }

  /**
   * Describes the error of `found`, bytes of the file from `offset` on; undefined if correct.
   * @param exactly whether the padding is known too, because no write failed
   */
  wrongWith(found: Uint8Array, offset: number, exactly: boolean): string | undefined {
    for (let position = 0; position < found.length; ) {
      const index = Math.floor((offset + position) / CLUSTER);
      const start = (offset + position) % CLUSTER;
      const part = found.subarray(position, position + CLUSTER - start);
      const wrong = this.#wrongWithCluster(index, start, part, exactly);
      if (wrong !== undefined) return wrong;
      position += part.length;
    }
    return undefined;
  }

  /** Describes a wrong number of writes of this host cluster in this life; undefined if correct. */
  wrongWithWrites(index: number, writes: readonly RecordedWrite[]): string | undefined {
    const { straight, dropped, end, from, to, flushesBefore, flushesBy } = this.get(index);
    if (straight) return undefined;
    const touches = ({ offset, length }: RecordedWrite) =>
      offset < (index + 1) * CLUSTER && offset + length > index * CLUSTER;
    if (writes.slice(Math.min(to, writes.length)).some(touches)) {
      return `host cluster ${index} was written after it was dropped`;
    }
    const count = writes.slice(from).filter(touches).length;
    const least = end > 0 && !dropped ? 1 : 0;
    const most = least + flushesBy - flushesBefore;
    if (count >= least && count <= most) return undefined;
    return `host cluster ${index} was written ${count} times, not ${least} to ${most}`;
  }

  #wrongWithCluster(index: number, start: number, found: Uint8Array, exactly: boolean): string | undefined {
    const cluster = this.clusters.get(index);
    if (cluster?.dropped) return undefined;
    const known = exactly && !cluster?.straight && !cluster?.calls;
    const zerosTo = Math.ceil((cluster?.end ?? 0) / UNIT) * UNIT;
    for (let at = start; at < start + found.length; at += 1) {
      const accepted = cluster?.bytes[at] ?? 0;
      const byte = found[at - start];
      if (byte === accepted && accepted !== 0) continue;
      if (cluster?.called[at] === 1) continue;
      // An earlier life is visible wherever this one did not write.
      if (accepted === 0 && (cluster?.life ?? 1) > 1 && !(known && at < zerosTo)) continue;
      const padding = at < zerosTo ? 0 : BACKGROUND;
      if (accepted === 0 && (known ? byte === padding : byte === 0 || byte === BACKGROUND)) continue;
      return `byte ${at} of host cluster ${index} is ${byte} where ${accepted || 'no byte'} was accepted`;
    }
    return undefined;
  }

  /** [offset, offset + length) host cluster by host cluster; `position` counts from `offset`. */
  *#parts(offset: number, length: number) {
    for (let position = 0; position < length; ) {
      const start = (offset + position) % CLUSTER;
      const end = Math.min(CLUSTER, start + length - position);
      yield { cluster: this.get(Math.floor((offset + position) / CLUSTER)), start, end, position };
      position += end - start;
    }
  }
}
