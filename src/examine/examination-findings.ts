/** The findings of an examination: broken clusters are reported one by one, everything else is summed up. */
import type { Qcow2cError } from '../errors.js';
import type { MarkedClusters } from '../qcow2/marked-clusters.js';
import type { ExaminePayloads, StreamFacts } from '../workers/messages/examination.js';
import type { ItemResult } from '../workers/pool.js';
import type { FoundCluster } from './examination-plan.js';
import type { ImageState } from './image-states.js';

/** A guest range that cannot be read, or whose payload is malformed. Lengths and offsets in bytes. */
export interface BrokenCluster {
  readonly guestOffset: number;
  /** Of its payload or host cluster; for a table that cannot be read, of the first entry. */
  readonly hostOffset: number;
  /** One cluster; more for a table that cannot be read. */
  readonly length: number;
  /** The identifier of the first snapshot with the cluster; undefined: the disk itself. */
  readonly snapshot: string | undefined;
  /** ERR_CORRUPT for the content of the image, ERR_IO for a failed read. */
  readonly error: Qcow2cError;
  /** Whether QEMU reads the cluster; then it does not count as broken. */
  readonly isReadable: boolean;
}

/** Called for one cluster after the other; the next call waits for the promise. */
export type OnBroken = (broken: BrokenCluster) => void | Promise<void>;

/** Sums over the sound payloads, those of the examined snapshots included. */
export interface StreamTotals extends StreamFacts {
  /** Bytes that they inflate to. */
  readonly compressedGuestBytes: number;
  /** Host clusters that hold payloads, broken ones included. */
  readonly hostClusters: number;
  /** Bytes in these that no sound payload covers. */
  readonly wastedBytes: number;
}

export type ExaminedItem = Omit<ItemResult<ExaminePayloads>, 'bytes'>;

export class ExaminationFindings {
  readonly #states: readonly ImageState[];
  readonly #onBroken: OnBroken | undefined;
  #examined = 0;
  #sound = 0;
  #broken = 0;
  #facts: StreamFacts = { payloadBytes: 0, window: 0, checksums: 0 };

  constructor(states: readonly ImageState[], onBroken: OnBroken | undefined) {
    this.#states = states;
    this.#onBroken = onBroken;
  }

  /** Compressed clusters that were examined. */
  get examined(): number {
    return this.#examined;
  }

  /** Clusters and tables that cannot be read. */
  get broken(): number {
    return this.#broken;
  }

  /** @param found the clusters of an item, and the answer for their payloads */
  async add(found: readonly FoundCluster[], { facts, broken, unreadable }: ExaminedItem): Promise<void> {
    const failures = new Map(broken.map((index, at) => [index, unreadable[at]]));
    let index = 0;
    for (const cluster of found) {
      if (typeof cluster.content === 'number') {
        const failure = failures.get(index);
        if (failure !== undefined) await this.#tell(cluster, failure.error, failure.isKept === true);
        index += 1;
      } else {
        await this.#tell(cluster, cluster.content, false);
      }
    }
    this.#examined += index;
    this.#sound += index - unreadable.filter(({ isKept }) => !isKept).length;
    if (facts === undefined) return;
    this.#facts = {
      payloadBytes: this.#facts.payloadBytes + facts.payloadBytes,
      window: Math.max(this.#facts.window, facts.window),
      checksums: this.#facts.checksums + facts.checksums,
    };
  }

  /** @param hostClusters that hold payloads */
  totals(clusterSize: number, hostClusters: MarkedClusters): StreamTotals {
    return {
      ...this.#facts,
      compressedGuestBytes: this.#sound * clusterSize,
      hostClusters: hostClusters.count,
      // A payload with several guest offsets, which QEMU never writes, is counted for each.
      wastedBytes: Math.max(0, hostClusters.bytes - this.#facts.payloadBytes),
    };
  }

  async #tell(
    { guestOffset, hostOffset, length, state }: FoundCluster,
    error: Qcow2cError,
    isReadable: boolean,
  ): Promise<void> {
    if (!isReadable) this.#broken += 1;
    const snapshot = this.#states[state]?.snapshot;
    await this.#onBroken?.({ guestOffset, hostOffset, length, snapshot, error, isReadable });
  }
}
