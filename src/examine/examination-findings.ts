/** What comes of looking at an image: each broken cluster is told as it comes, of the rest only sums are kept. */
import type { Qcow2cError } from '../errors.js';
import type { MarkedClusters } from '../qcow2/marked-clusters.js';
import type { ExaminePayloads, StreamFacts } from '../workers/messages/examination.js';
import type { ItemResult } from '../workers/pool.js';
import type { FoundCluster } from './examination-plan.js';
import type { ImageState } from './image-states.js';

/** A guest range that cannot be read, or whose payload is not what the format asks for. Lengths and offsets in bytes. */
export interface BrokenCluster {
  readonly guestOffset: number;
  /** Where its payload or its host cluster begins; of a table that cannot be read, the first entry. */
  readonly hostOffset: number;
  /** A cluster; more of a table that cannot be read. */
  readonly length: number;
  /** The identifier of the first snapshot that has it; undefined: the disk itself has it. */
  readonly snapshot: string | undefined;
  /** ERR_CORRUPT for what the image says or holds, ERR_IO for a read that failed. */
  readonly error: Qcow2cError;
  /** Whether QEMU reads it all the same: then it does not count as broken. */
  readonly isReadable: boolean;
}

/** Called for one after the other, and waited for. */
export type OnBroken = (broken: BrokenCluster) => void | Promise<void>;

/** What the sound payloads are like, those of the snapshots included if they were looked at. */
export interface StreamTotals extends StreamFacts {
  /** Bytes that they inflate to. */
  readonly compressedGuestBytes: number;
  /** How many host clusters hold payloads, broken ones included. */
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

  /** How many compressed clusters were looked at. */
  get examined(): number {
    return this.#examined;
  }

  /** How many clusters and tables cannot be read. */
  get broken(): number {
    return this.#broken;
  }

  /** @param found an item @param answer what became of its payloads */
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
      // Payloads at several guest offsets, which QEMU never makes, count as often.
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
