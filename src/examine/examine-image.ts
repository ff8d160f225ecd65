/**
 * Looks at every compressed cluster of an image, on all cores, without wanting its content: whether it inflates
 * to exactly one cluster, and what the streams are like. Used by `check --data` and `info --deep`.
 */
import type { HostFile } from '../image/source.js';
import { clusterSizeOf } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { MarkedClusters } from '../qcow2/marked-clusters.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import type { ExaminePayloads } from '../workers/messages/examination.js';
import { refuseAbort, runPipeline } from '../workers/pipeline.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { WorkerPool } from '../workers/pool.js';
import type { Progress } from '../workers/progress.js';
import type { WorkerBudget } from '../workers/worker-budget.js';
import { type ExaminationOptions, examinationBudget } from './examination-budget.js';
import {
  ExaminationFindings,
  type ExaminedItem,
  type OnBroken,
  type StreamTotals,
} from './examination-findings.js';
import { type ClusterCounts, ExaminationPlan, type PlannedExamination } from './examination-plan.js';
import { imageStates } from './image-states.js';

export type { BrokenCluster, OnBroken, StreamTotals } from './examination-findings.js';
export type { ClusterCounts } from './examination-plan.js';

/** An open image, as `readQcow2ImageHeader` and `openImageFile` give it. */
export interface ExaminableImage {
  /** Stays open. */
  readonly file: HostFile & { readonly readAlignment: number };
  readonly header: Header;
}

export interface ExamineOptions extends ExaminationOptions {
  /** Whether to find out what only a look into each stream tells (`StreamTotals`), which takes longer. */
  readonly streamFacts: boolean;
  /** Whether to look at the clusters of internal snapshots too. */
  readonly snapshots: boolean;
  /** The external data file, if it is open: then clusters past its end are broken too. */
  readonly dataFile?: HostFile | undefined;
  /** Called in guest order. */
  readonly onBroken?: OnBroken | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tests replace it. */
  readonly workerEntry?: URL | undefined;
}

export interface Examination {
  /** Of the disk; snapshots do not count. */
  readonly clusters: ClusterCounts;
  /** How many compressed clusters were looked at, those of the snapshots included. */
  readonly examined: number;
  /** How often onBroken was called. */
  readonly broken: number;
  /** With streamFacts. */
  readonly facts: StreamTotals | undefined;
}

const NOTHING_EXAMINED: ExaminedItem = { facts: undefined, broken: [], unreadable: [] };

/**
 * @throws Qcow2cError ERR_ABORTED; ERR_USAGE for too low a limit of memory; ERR_WORKER, also where no engine for zstd is
 *   installed; ERR_CORRUPT or ERR_IO for a snapshot table that cannot be read. What is wrong with single
 *   clusters is told to onBroken.
 */
export async function examineImage(
  { file, header }: ExaminableImage,
  options: ExamineOptions,
): Promise<Examination> {
  const { streamFacts, dataFile, signal } = options;
  const clusterSize = clusterSizeOf(header);
  const states = await imageStates(file, header, options.snapshots);
  const budget = examinationBudget(file.size, header, options);
  const hostClusters = streamFacts ? new MarkedClusters(file.size, clusterSize, budget.cache) : undefined;
  const parts = { file, header, dataFile, states, hostClusters, signal };
  const plan = new ExaminationPlan(parts);
  const findings = new ExaminationFindings(states, options.onBroken);
  await inflateAll(file, header, plan, findings, budget, options);
  // Only where the bits for all host clusters are too many to be there at once.
  while (hostClusters?.advance()) {
    for await (const _ of new ExaminationPlan(parts).items()) refuseAbort(signal);
  }
  const { clusters } = plan;
  const { examined, broken } = findings;
  return { clusters, examined, broken, facts: hostClusters && findings.totals(clusterSize, hostClusters) };
}

/** Takes all items of the plan through the workers, to the findings. */
async function inflateAll(
  file: ExaminableImage['file'],
  { clusterBits, compressionType: type, virtualSize }: Header,
  plan: ExaminationPlan,
  findings: ExaminationFindings,
  { threads, slots }: WorkerBudget,
  { streamFacts, onProgress, signal, workerEntry = BUILT_WORKER }: ExamineOptions,
): Promise<void> {
  const clusterSize = 2 ** clusterBits;
  const startPool = () =>
    new WorkerPool<ExaminePayloads>({
      workerEntry,
      threads,
      slots,
      setup: {
        ...{ task: 'examine payloads', streamFacts, type, clusterSize, descriptor: file.descriptor },
        ...{ itemSize: ITEM_BYTES, inflate: [], salvage: true, readAlignment: file.readAlignment },
      },
      fileOf: (descriptor) => file.fileOf(descriptor),
    });
  // Many an image has no compressed clusters: then no thread is started.
  let pool: WorkerPool<ExaminePayloads> | undefined;
  const items = plan.items();
  const next = async () => {
    const { value, done } = await items.next();
    return done ? undefined : value;
  };
  const pack = async (item: PlannedExamination, slot: number): Promise<ExaminedItem> => {
    const payloads = payloadsOf(item);
    if (payloads.length === 0) return NOTHING_EXAMINED;
    pool ??= startPool();
    return pool.run({ payloads, slot }, item.guestOffset);
  };
  try {
    await runPipeline<ExaminedItem, PlannedExamination>(
      { next, pack, store: (answer, { found }) => findings.add(found, answer), storedBytes: () => undefined },
      {
        slots,
        guestBytes: virtualSize,
        signal,
        onProgress:
          onProgress &&
          (({ guestBytesDone, ...progress }) =>
            onProgress({
              ...progress,
              // The state of a virtual machine lies behind the disk.
              guestBytesDone: Math.min(guestBytesDone, virtualSize),
              dataBytes: findings.examined * clusterSize,
            })),
      },
    );
  } finally {
    await pool?.close();
  }
}

/** The payloads of an item as its message holds them. */
function payloadsOf({ guestOffset: start, found }: PlannedExamination): Float64Array {
  const numbers: number[] = [];
  for (const { guestOffset, hostOffset, content } of found) {
    if (typeof content === 'number') numbers.push(guestOffset - start, hostOffset, content);
  }
  return Float64Array.from(numbers);
}
