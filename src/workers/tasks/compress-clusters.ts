/**
 * Packs an item of a qcow2 image: reads it, drops zero clusters, copies payloads of the source where the target can
 * hold them, compresses the other clusters, and puts the results one after the other into the item's slot. The result
 * depends only on the item's bytes, never on earlier items, so that the output is the same for any number of threads.
 */
import type { Compressor } from '../../engines/codec.js';
import { looksIncompressible } from '../../engines/incompressible.js';
import { UNCHANGED } from '../../qcow2/packed-clusters.js';
import { ALL_SUBCLUSTERS } from '../../qcow2/subclusters.js';
import { copyBytes } from '../../system/copy-bytes.js';
import { blockDigests } from '../block-digests.js';
import { throwIfCancelled } from '../cancellation.js';
import type { UnreadableItemRange } from '../item-failure.js';
import type { CompressionAnswer, CompressionItem, CompressionSetup } from '../messages/compression.js';
import type { PoolSharedMemory } from '../messages/task.js';
import { BackingComparison } from './backing-comparison.js';
import type { Decompressors } from './cluster-inflater.js';
import { type ByteRange, SegmentReader } from './segment-reader.js';
import { type ClusterSegment, type SplitSegment, splitSegments } from './split-segments.js';
import { threadMemory } from './thread-memory.js';
import { runsToWrite, touchedSubclusters } from './zero-runs.js';

/** Below this level zstd gives up on random data by itself, faster than any estimate. */
const ZSTD_LEVEL_TO_ESTIMATE = 5;

export class ClusterCompressor {
  readonly #setup: CompressionSetup;
  readonly #memory: PoolSharedMemory;
  /** Whether an estimate before compressing a cluster saves time. */
  readonly #estimates: boolean;
  readonly #compressor: Compressor | undefined;
  readonly #reader: SegmentReader;
  readonly #backing: BackingComparison;
  readonly #input: Uint8Array;
  readonly #zeros: Uint8Array;

  /** @param compressor undefined: store every cluster as it is */
  constructor(
    setup: CompressionSetup,
    memory: PoolSharedMemory,
    compressor: Compressor | undefined,
    decompressors: Decompressors,
  ) {
    this.#setup = setup;
    this.#memory = memory;
    this.#compressor = compressor;
    const choice = setup.compressor;
    this.#estimates = choice?.type !== 'zstd' || choice.level >= ZSTD_LEVEL_TO_ESTIMATE;
    this.#reader = new SegmentReader(setup, memory, decompressors);
    this.#backing = new BackingComparison(setup, this.#reader);
    this.#input = threadMemory.take(setup.itemSize);
    this.#zeros = new Uint8Array(setup.clusterSize);
  }

  /** @throws ItemError, or the error of an engine */
  run(item: CompressionItem): CompressionAnswer {
    const { length, slot, segments } = item;
    const { clusterSize, itemSize } = this.#setup;
    const clusters = Math.ceil(length / clusterSize);
    const input = this.#input.subarray(0, clusters * clusterSize);
    const output = new Uint8Array(this.#memory.results, slot * itemSize, itemSize);
    const unreadable: UnreadableItemRange[] = [];
    const split = splitSegments(segments);
    const payloads = this.#wholePayloads(split, length);
    const others = payloads.size === 0 ? split : split.filter(({ at }) => !payloads.has(at));
    this.#reader.read(others, slot, input, unreadable, this.#wanted(item));
    this.#backing.begin(item);
    const touched = this.#touched(split, length, input);
    const sizes = new Uint32Array(clusters);
    const subclusters = this.#setup.subclusters ? new Uint32Array(clusters) : undefined;
    const correctedBefore = this.#compressor?.corrected ?? 0;
    let copied = 0;
    let at = 0;
    let previous: Uint8Array | undefined;
    for (let index = 0; index < clusters; index += 1) {
      throwIfCancelled(this.#memory);
      const cluster = input.subarray(index * clusterSize, (index + 1) * clusterSize);
      const segment = payloads.get(index * clusterSize);
      const payload = segment && this.#readCompressed(segment, cluster, unreadable);
      let size: number;
      if (this.#backing.isSame(index, cluster) && !isLost(unreadable, index, clusterSize)) {
        size = UNCHANGED;
      } else if (touched === undefined ? this.#isDropped(cluster) : touched[index] === 0) {
        size = 0;
      } else if (payload !== undefined && payload.length < clusterSize) {
        size = payload.length;
        copyBytes(output, at, payload);
        copied += 1;
      } else if (previous !== undefined && same(cluster, previous)) {
        // Fill patterns come in long runs, and equal clusters compress to equal bytes.
        size = sizes[index - 1] as number;
        output.copyWithin(at, at - size, at);
      } else {
        size = this.#compress(cluster, output.subarray(at, at + clusterSize));
      }
      sizes[index] = size;
      if (subclusters && size === clusterSize) subclusters[index] = touched?.[index] ?? ALL_SUBCLUSTERS;
      const isInSlot = size > 0 && size !== UNCHANGED;
      previous = isInSlot ? cluster : undefined;
      if (isInSlot) at += size;
    }
    unreadable.sort((a, b) => a.at - b.at);
    const corrected = this.#compressor?.corrected;
    return {
      sizes,
      copied,
      corrected: corrected === undefined ? undefined : corrected - correctedBefore,
      subclusters,
      // Every payload is inflated by now.
      digests: this.#setup.digests ? blockDigests(input.subarray(0, length)) : undefined,
      unreadable,
    };
  }

  /** The parts of the item that are looked at; undefined: all of it. The backing file holds the others. */
  #wanted({ changed }: CompressionItem): ByteRange[] | undefined {
    const { clusterSize, digests } = this.#setup;
    if (digests) return undefined;
    return changed?.map(([from, to]) => [from * clusterSize, to * clusterSize]);
  }

  /** The segments, by their place in the item, that are whole clusters whose payload the target can hold unchanged. */
  #wholePayloads(segments: readonly SplitSegment[], length: number): ReadonlyMap<number, ClusterSegment> {
    const { passthrough, compressor, clusterSize } = this.#setup;
    const found = new Map<number, ClusterSegment>();
    if (!passthrough) return found;
    for (const segment of segments) {
      if (
        segment.kind === 'compressed' &&
        segment.type === compressor?.type &&
        segment.inflatedLength === clusterSize &&
        segment.skip === 0 &&
        segment.at % clusterSize === 0 &&
        segment.length === Math.min(clusterSize, length - segment.at)
      ) {
        found.set(segment.at, segment);
      }
    }
    return found;
  }

  /** Inflates a cluster. @returns its payload, if the cluster has only zeros past the end of the disk */
  #readCompressed(segment: ClusterSegment, cluster: Uint8Array, unreadable: UnreadableItemRange[]) {
    const payload = this.#reader.readCompressed(segment, cluster, unreadable);
    const behind = cluster.subarray(segment.length);
    if (same(behind, this.#zeros.subarray(0, behind.length))) return payload;
    behind.fill(0);
    return undefined;
  }

  /**
   * The subclusters to store; undefined where each cluster is stored whole, unless it is zeros. QEMU stores a cluster
   * whole when it cannot be compressed.
   */
  #touched(segments: readonly SplitSegment[], length: number, input: Uint8Array): Uint32Array | undefined {
    const { keepZeros, subclusters, sparseSize, clusterSize } = this.#setup;
    const isSparse = this.#compressor === undefined && !keepZeros;
    if (isSparse && (subclusters || sparseSize > clusterSize)) {
      return touchedSubclusters(
        runsToWrite(input, segments, sparseSize),
        Math.ceil(length / clusterSize),
        clusterSize,
      );
    }
    return undefined;
  }

  #isDropped(cluster: Uint8Array): boolean {
    return !this.#setup.keepZeros && same(cluster, this.#zeros);
  }

  /** @returns the compressed length, or the cluster size when the cluster is stored as it is */
  #compress(cluster: Uint8Array, place: Uint8Array): number {
    if (this.#compressor !== undefined && !(this.#estimates && looksIncompressible(cluster))) {
      const size = this.#compressor.compress(cluster, place.subarray(0, cluster.length - 1));
      if (size > 0) return size;
    }
    copyBytes(place, 0, cluster);
    return cluster.length;
  }
}

/** Whether a part of a cluster became zeros, which the backing file need not hold. */
function isLost(unreadable: readonly UnreadableItemRange[], index: number, clusterSize: number): boolean {
  const [from, to] = [index * clusterSize, (index + 1) * clusterSize];
  return unreadable.some(({ at, length, isKept }) => !isKept && at < to && at + length > from);
}

function same(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
