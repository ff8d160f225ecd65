/** Where a conversion goes, whatever the format: what the workers are to do for it, and what becomes of it. */
import { quoted } from '../errors.js';
import type { openTarget } from '../storage/open-target.js';
import { RateLimit } from '../storage/rate-limit.js';
import type { Target } from '../storage/target.js';
import type { PackingSetup } from '../workers/messages.js';
import type { PipelineParts, PipelineSettings } from '../workers/pipeline.js';
import type { PlannedItem } from '../workers/plan.js';
import type { PackedItem, WorkerPool } from '../workers/pool.js';
import type { ConvertOptions, ConvertResult } from './options.js';
import type { UnreadableLog } from './unreadable-log.js';
import type { WrittenTarget } from './written-target.js';

/** What the target asks of the workers. */
export type OutputSetup = Pick<
  PackingSetup,
  'output' | 'clusterSize' | 'compressor' | 'passthrough' | 'keepZeros' | 'sparseSize' | 'subclusters'
>;

/** What only the target can tell of a finished conversion. */
export type OutputResult = Omit<
  ConvertResult,
  'threads' | 'threadsRefused' | 'settledMs' | 'unreadableBytes' | 'verifiedFrom'
>;

/** Gives the next item in guest order, to be worked on in a slot; undefined at the end. */
export type NextItem = (slot: number) => Promise<PlannedItem | undefined>;

/**
 * Runs the items of a qcow2 image through its workers into it, as `runPipeline` does.
 * @param items the items from the first one on, each time it is called; of a stream once only
 * @returns where the last item ended, in bytes
 */
export type RunClusters = (
  parts: Omit<PipelineParts<PackedItem>, 'next'>,
  items: () => NextItem,
  clusterSize: number,
  settings: PipelineSettings,
) => Promise<number>;

export interface Output {
  readonly setup: OutputSetup;
  /** Bytes that fit into an existing target; undefined: as many as come. */
  readonly room: number | undefined;
  /** Runs all items through the pool into the target. @returns where the last one ended, in bytes */
  run(
    pool: WorkerPool,
    items: () => NextItem,
    unreadable: UnreadableLog,
    settings: PipelineSettings,
  ): Promise<number>;
  /** Writes what is left. @param diskSize bytes */
  finish(diskSize: number): Promise<void>;
  /** Makes everything durable; as far as commit goes before it gives a name. @returns where to find it */
  seal(): Promise<WrittenTarget>;
  /** Makes the target durable and gives it its name; it is closed afterwards, also when this fails. */
  commit(): Promise<void>;
  /** Removes what was made; what was written in place and sealed stays. Never throws. */
  discard(): Promise<void>;
  /** After finish. */
  result(): OutputResult;
}

/** Bytes of the smallest run of zeros that is left out by default, as in qemu-img. */
export const SPARSE_SIZE = 4096;

/**
 * Opens a target as the options want it written.
 * @param remedy what to do instead when an existing file cannot be replaced, for the message
 * @throws Qcow2cError as `open`
 */
export async function openWith(
  open: typeof openTarget,
  name: string,
  inPlace: boolean,
  { targetCache = 'none', signal, onWarning }: ConvertOptions,
  limit: RateLimit | undefined,
  remedy?: string,
): Promise<Target> {
  const target = await open(name, targetCache, inPlace, remedy);
  for (const notice of target.notices) onWarning?.(`${quoted(name)} ${notice}`);
  if (limit !== undefined) target.file.limitRate(limit, signal);
  return target;
}

/** The limit that all files of a target share. */
export function rateLimitOf({ rateLimit }: ConvertOptions): RateLimit | undefined {
  return rateLimit === undefined ? undefined : new RateLimit(rateLimit);
}

/** What the result says of how a file was written. */
export function targetFacts({ file }: Target) {
  return {
    targetCache: file.cacheMode,
    directRefused: file.directRefused,
    writeCalls: file.writeCalls,
    writtenBytes: file.writtenBytes,
  };
}
