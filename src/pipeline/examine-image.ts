/**
 * Looks at every compressed cluster of an image, on all cores, without wanting its content: whether it inflates
 * to exactly one cluster, and what the streams are like. Used by `check --data` and `info --deep`.
 */
import { availableParallelism } from 'node:os';
import type { CompressedSegment } from '../compress/messages.js';
import { type ExaminedItem, WorkerPool } from '../compress/pool.js';
import type { Qcow2cError } from '../errors.js';
import type { HostFile } from '../image/source.js';
import type { Header } from '../qcow2/header.js';
import { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import { runPipeline } from './pipeline.js';
import { ITEM_BYTES, type PlannedItem } from './plan.js';
import type { Progress } from './progress.js';

/** An open image, as `readQcow2Start` and `openImageFile` give it. */
export interface ExaminableImage {
  /** Stays open. */
  readonly file: HostFile & { readonly readAlignment: number };
  readonly header: Header;
}

/** A guest range that cannot be read. Lengths and offsets in bytes. */
export interface BrokenCluster {
  readonly guestOffset: number;
  /** Where its payload or its host cluster begins; of a table that cannot be read, the table. */
  readonly hostOffset: number;
  /** A cluster; more of a table that cannot be read. */
  readonly length: number;
  /** The identifier of the first snapshot that has it; undefined: the disk itself has it. */
  readonly snapshot: string | undefined;
  /** ERR_CORRUPT for what the image says or holds, ERR_IO for a read that failed. */
  readonly error: Qcow2cError;
}

export interface ExamineOptions {
  /** Default: one for each processor. */
  readonly threads?: number | undefined;
  /** Whether to look into the streams (`StreamTotals`), which takes several times as long. */
  readonly streamFacts: boolean;
  /** Whether to look at the clusters of internal snapshots too. */
  readonly snapshots: boolean;
  /** The external data file, if it is open: then clusters past its end are broken too. */
  readonly dataFile?: HostFile | undefined;
  /** Called in guest order. */
  readonly onBroken?: ((broken: BrokenCluster) => void) | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tests replace it. */
  readonly workerEntry?: URL | undefined;
}

/** How many guest clusters of the disk are of which type; together they are the disk. Snapshots do not count. */
export interface ClusterCounts {
  compressed: number;
  /** Holds data as it is; with subclusters, in one of them at least. */
  normal: number;
  zero: number;
  unallocated: number;
}

/** What the sound payloads are like, those of the snapshots included if they were looked at. */
export interface StreamTotals {
  /** Bytes that they inflate to. */
  readonly compressedGuestBytes: number;
  /** Bytes that they take up, without the trailing ones of their last sectors. */
  readonly payloadBytes: number;
  /** How many host clusters hold payloads. */
  readonly hostClusters: number;
  /** Bytes in these that no payload covers. */
  readonly wastedBytes: number;
  /**
   * What a reader must keep to inflate any of them, in bytes: of deflate the farthest distance that is looked back,
   * rounded up to a power of two; of zstd the largest window of a frame header; 0 without payloads.
   */
  readonly window: number;
  /** How many end in a checksum of their content (zstd). */
  readonly checksums: number;
}

export interface Examination {
  readonly clusters: ClusterCounts;
  /** How often onBroken was called. */
  readonly broken: number;
  /** With streamFacts. */
  readonly facts: StreamTotals | undefined;
}

const WORKER_ENTRY = new URL('./worker.js', import.meta.url);
const ITEMS_PER_WORKER = 2;
const SPARE_ITEMS = 2;

/**
 * @throws Qcow2cError ERR_ABORTED, ERR_WORKER, ERR_ENGINE; ERR_CORRUPT or ERR_IO for a snapshot table that cannot
 *   be read. What is wrong with single clusters is told to onBroken.
 */
export async function examineImage(
  { file, header }: ExaminableImage,
  options: ExamineOptions,
): Promise<Examination> {
  const { threads = availableParallelism(), streamFacts, dataFile, onBroken, onProgress, signal } = options;
  const clusterSize = 2 ** header.clusterBits;
  const layer = new Qcow2Layer(header, file, dataFile);
  const clusters: ClusterCounts = { compressed: 0, normal: 0, zero: 0, unallocated: 0 };
  const slots = threads * ITEMS_PER_WORKER + SPARE_ITEMS;
  const { readAlignment } = file;
  const inflate = [header.compressionType];
  const setup = {
    output: 'examination',
    itemSize: ITEM_BYTES,
    inflate,
    salvage: true,
    readAlignment,
  } as const;
  const pool = new WorkerPool(
    options.workerEntry ?? WORKER_ENTRY,
    threads,
    slots,
    { ...setup, streamFacts },
    (fd) => layer.fileOf(fd),
  );
  let broken = 0;
  let at = 0;
  const next = async (): Promise<PlannedItem | undefined> => {
    const start = at;
    const segments: CompressedSegment[] = [];
    while (at < layer.size && segments.length * clusterSize < ITEM_BYTES) {
      const range = await layer.map(at);
      const { length } = range;
      const count = Math.ceil(length / clusterSize);
      if (range.kind === 'compressed') {
        const { type, descriptor, offset, storedLength } = range.payload;
        const place = { type, descriptor, offset, storedLength, inflatedLength: clusterSize, skip: 0 };
        segments.push({ kind: 'compressed', at: at - start, length, ...place });
        clusters.compressed += 1;
      } else if (range.kind === 'data') clusters.normal += count;
      else if (range.kind === 'zero') clusters.zero += count;
      else if (range.kind === 'unallocated') clusters.unallocated += count;
      at += length;
    }
    return at === start ? undefined : { guestOffset: start, length: at - start, segments };
  };
  try {
    await runPipeline<ExaminedItem>(
      {
        next,
        pack: ({ segments, guestOffset, length }, slot) =>
          pool.examine({ segments, clusters: segments.length, length, slot }, guestOffset),
        store: async ({ unreadable }) => {
          for (const { guestOffset, length, error } of unreadable) {
            broken += 1;
            const hostOffset = error.offset ?? 0;
            onBroken?.({ guestOffset, hostOffset, length, snapshot: undefined, error });
          }
        },
        storedBytes: () => undefined,
      },
      { slots, guestBytes: layer.size, onProgress, signal },
    );
  } finally {
    await pool.close();
  }
  return { clusters, broken, facts: undefined };
}
