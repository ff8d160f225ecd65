/** Finds, in a worker, the clusters of an overlay that its backing file holds already. */
import type { PackingSetup, UnreadableItemRange, WorkItem } from '../messages.js';
import type { SegmentReader } from './segment-reader.js';
import { threadMemory } from './thread-memory.js';

export class BackingComparison {
  readonly #setup: PackingSetup;
  readonly #reader: SegmentReader;
  /** What the backing file holds where the item is; as large as an item when the first one is compared. */
  #content: Uint8Array = new Uint8Array(0);
  /** The clusters to compare; the others are the same without a look. Undefined without a backing file. */
  #changed: Set<number> | undefined;
  /** Clusters of the backing file that could not be read, by salvage: nobody can say that they are the same. */
  readonly #unknown = new Set<number>();

  constructor(setup: PackingSetup, reader: SegmentReader) {
    this.#setup = setup;
    this.#reader = reader;
  }

  /**
   * Takes up an item; reads what the backing file has for it.
   * @throws SegmentError
   */
  begin({ backing = [], changed, clusters, slot }: WorkItem): void {
    this.#changed = undefined;
    this.#unknown.clear();
    if (changed === undefined) return;
    this.#changed = new Set(changed.flatMap(([from, to]) => indices(from, to)));
    const { clusterSize, itemSize } = this.#setup;
    if (this.#content.length === 0) this.#content = threadMemory.take(itemSize);
    const lost: UnreadableItemRange[] = [];
    this.#reader.read(backing, slot, this.#content.subarray(0, clusters * clusterSize), lost);
    for (const { at, length, isKept } of lost) {
      if (isKept) continue;
      const last = Math.ceil((at + length) / clusterSize);
      for (const index of indices(Math.floor(at / clusterSize), last)) this.#unknown.add(index);
    }
  }

  /** @returns whether a cluster of the item is as in the backing file; never without one */
  isSame(index: number, cluster: Uint8Array): boolean {
    if (this.#changed === undefined) return false;
    if (!this.#changed.has(index)) return true;
    const at = index * cluster.length;
    return (
      !this.#unknown.has(index) &&
      Buffer.compare(cluster, this.#content.subarray(at, at + cluster.length)) === 0
    );
  }
}

/** from, from + 1, to - 1 at last. */
function indices(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, index) => from + index);
}
