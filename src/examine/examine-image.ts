/**
 * Inflates every compressed cluster of an image on all processors: checks that it is exactly one cluster and collects
 * facts of the streams. For `check --data` and `info --deep`.
 */
import type { HostFile } from '../image/source.js';
import { clusterSizeOf } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { MarkedClusters } from '../qcow2/marked-clusters.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import type { ExaminePayloads } from '../workers/messages/examination.js';
import { nextOf, refuseAbort, runPipeline } from '../workers/pipeline.js';
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

export type { StreamTotals } from './examination-findings.js';
export type { ClusterCounts } from './examination-plan.js';

/** An open image, as `readQcow2ImageHeader` and `openImageFile` give it. */
interface ExaminableImage {
  /** Stays open. */
  readonly file: HostFile & { readonly readAlignment: number };
  readonly header: Header;
}

export interface ExamineOptions extends ExaminationOptions {
  /** Collect the facts that only the content of each stream shows (`StreamTotals`), which takes longer. */
  readonly streamFacts: boolean;
  /** Examine the clusters of internal snapshots too. */
  readonly snapshots: boolean;
  /** The external data file, if it is open: clusters past its end are reported as broken. */
  readonly dataFile?: HostFile | undefined;
  /** Called in guest order. */
  readonly onBroken?: OnBroken | undefined;
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Tests replace it. */
  readonly workerEntry?: URL | undefined;
}

export interface Examination {
  /** Of the disk, without snapshots. */
  readonly clusters: ClusterCounts;
  /** Compressed clusters that were examined, those of the snapshots included. */
  readonly examined: number;
  /** How often onBroken was called. */
  readonly broken: number;
  /** With streamFacts. */
  readonly facts: StreamTotals | undefined;
}

const NOTHING_EXAMINED: ExaminedItem = { facts: undefined, broken: [], unreadable: [] };

/**
 * @throws Qcow2cError ERR_ABORTED; ERR_USAGE for too low a limit of memory; ERR_WORKER, also where no engine for zstd is
 *   installed; ERR_CORRUPT or ERR_IO for a snapshot table that cannot be read. Broken clusters are
 *   reported to onBroken.
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
  // Only where the bits of all host clusters do not fit into the memory at once.
  while (hostClusters?.advance()) {
    for await (const _ of new ExaminationPlan(parts).items()) refuseAbort(signal);
  }
  const { clusters } = plan;
  const { examined, broken } = findings;
  return { clusters, examined, broken, facts: hostClusters && findings.totals(clusterSize, hostClusters) };
}

/** Runs all items of the plan through the workers into the findings. */
async function inflateAll(
  file: ExaminableImage['file'],
  header: Header,
  plan: ExaminationPlan,
  findings: ExaminationFindings,
  { threads, slots }: WorkerBudget,
  { streamFacts, onProgress, signal, workerEntry = BUILT_WORKER }: ExamineOptions,
): Promise<void> {
  const { compressionType: type, virtualSize } = header;
  const clusterSize = clusterSizeOf(header);
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
  // Started with the first payload: an image without compressed clusters needs no thread.
  let pool: WorkerPool<ExaminePayloads> | undefined;
  const next = nextOf(plan.items());
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
              // Snapshots can hold the state of a virtual machine past the end of the disk.
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
