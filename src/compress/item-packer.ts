/**
 * What a worker does with one work item: read it, drop zero clusters, compress the others, and lay the
 * results one behind the other into the item's slot. The result depends on the item's bytes only, never
 * on what the worker did before: that is what makes the output the same for any number of threads.
 */
import { alignedMemory } from '../storage/aligned-memory.js';
import type { Compressor } from './codec.js';
import { looksIncompressible } from './incompressible.js';
import type { ClusterSizes, WorkerSetup, WorkItem } from './messages.js';
import { SegmentReader } from './segment-reader.js';

/** Below this level zstd gives up on random data by itself, faster than any estimate. */
const ZSTD_LEVEL_TO_ESTIMATE = 5;

export class ItemPacker {
  readonly #setup: WorkerSetup;
  /** Whether it pays to look at a cluster before it is compressed. */
  readonly #estimates: boolean;
  readonly #compressor: Compressor | undefined;
  readonly #reader: SegmentReader;
  readonly #input: Uint8Array;
  readonly #zeros: Uint8Array;

  /** @param compressor undefined stores every cluster as it is */
  constructor(setup: WorkerSetup, compressor: Compressor | undefined) {
    this.#setup = setup;
    this.#compressor = compressor;
    const choice = setup.compressor;
    this.#estimates = choice?.type !== 'zstd' || choice.level >= ZSTD_LEVEL_TO_ESTIMATE;
    this.#reader = new SegmentReader(setup.readAlignment);
    this.#input = alignedMemory(setup.itemSize);
    this.#zeros = new Uint8Array(setup.clusterSize);
  }

  /**
   * @returns the sizes of the item's clusters in its slot
   * @throws SegmentError, or what the engine throws
   */
  pack({ segments, clusters, slot }: WorkItem): ClusterSizes {
    const { clusterSize, itemSize, results } = this.#setup;
    const input = this.#input.subarray(0, clusters * clusterSize);
    const output = new Uint8Array(results, slot * itemSize, itemSize);
    this.#reader.read(segments, input);
    const sizes = new Uint32Array(clusters);
    let at = 0;
    for (let index = 0; index < clusters; index += 1) {
      const cluster = input.subarray(index * clusterSize, (index + 1) * clusterSize);
      const previous =
        index === 0 ? undefined : input.subarray((index - 1) * clusterSize, index * clusterSize);
      const previousSize = sizes[index - 1] ?? 0;
      let size = 0;
      if (!this.#setup.keepZeros && same(cluster, this.#zeros)) {
        size = 0;
      } else if (previous !== undefined && previousSize > 0 && same(cluster, previous)) {
        // Fill patterns and erased flash come in long runs; the same bytes compress to the same bytes.
        size = previousSize;
        output.copyWithin(at, at - size, at);
      } else {
        size = this.#compress(cluster, output.subarray(at, at + clusterSize));
      }
      sizes[index] = size;
      at += size;
    }
    return sizes;
  }

  /** @returns the compressed length, or the cluster size when the cluster is stored as it is */
  #compress(cluster: Uint8Array, place: Uint8Array): number {
    if (this.#compressor !== undefined && !(this.#estimates && looksIncompressible(cluster))) {
      const size = this.#compressor.compress(cluster, place.subarray(0, cluster.length - 1));
      if (size > 0) return size;
    }
    place.set(cluster);
    return cluster.length;
  }
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
