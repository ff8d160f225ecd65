/** The output of a conversion, for both formats: the workers' task, and the end of the target. */
import type { ImageReference } from '../image/image-reference.js';
import type { Target } from '../storage/target.js';
import type { DiskDigest } from '../workers/block-digests.js';
import type { CompressClusters } from '../workers/messages/compression.js';
import type { FindRuns } from '../workers/messages/runs.js';
import type { TaskSetup } from '../workers/messages/task.js';
import type { PipelineParts, PipelineSettings } from '../workers/pipeline.js';
import type { ItemResult, WorkerPool } from '../workers/pool.js';
import type { FileDigest } from './file-digest.js';
import type { NextItem } from './input.js';
import type { ConvertResult } from './options.js';
import type { UnreadableLog } from './unreadable-log.js';

/** The result of making the target once. */
export type OnceResult = Omit<
  ConvertResult,
  'sources' | 'target' | 'seconds' | 'bytesPerSecond' | 'warnings'
> & {
  /** Guest bytes that were read. */
  readonly dataBytes: number;
};

/** Receives the facts in the items' answers besides the content. */
export interface ItemRecords {
  readonly unreadable: UnreadableLog;
  /** Of the source; undefined: not asked for. */
  readonly digest: DiskDigest | undefined;
  /** Of the file, if it is written in order; undefined: not asked for. */
  readonly sha256: FileDigest | undefined;
}

/** The workers' task for a qcow2 image, or for a raw disk. */
export type ConversionTask = CompressClusters | FindRuns;

/** The part of the workers' setup that depends on the target. */
export type OutputSetup<Task extends ConversionTask> = Task extends unknown
  ? Omit<Task['setup'], Exclude<keyof TaskSetup, 'task'>>
  : unknown;

/** The part of a conversion's result that depends on the target. */
export type OutputResult = Omit<
  ConvertResult,
  | 'threads'
  | 'threadsRefused'
  | 'settledMs'
  | 'unreadableBytes'
  | 'verifiedFrom'
  | 'verifiedPart'
  | 'digest'
  | 'sha256'
  | 'sources'
  | 'target'
  | 'seconds'
  | 'bytesPerSecond'
  | 'warnings'
>;

/**
 * Runs the items of a qcow2 image through its workers into the image, as `runPipeline` does.
 * @param items starts at the first item each time it is called; a stream can be started only once
 * @returns where the last item ended, in bytes
 */
export type RunClusters = (
  parts: Omit<PipelineParts<ItemResult<CompressClusters>>, 'next'>,
  items: () => NextItem,
  clusterSize: number,
  settings: PipelineSettings,
) => Promise<number>;

/** Discards the target when it is disposed of before `commit` was called; that never throws. */
export interface Output<Task extends ConversionTask = ConversionTask> extends AsyncDisposable {
  readonly setup: OutputSetup<Task>;
  /** Bytes; the last item is filled up to a multiple of this. */
  readonly clusterSize: number;
  /** Whether the bytes of the file are those of the items, in order, with zeros between them. */
  readonly isInOrder: boolean;
  /** Bytes that fit into an existing target; undefined: no limit. */
  readonly room: number | undefined;
  /** Runs all items through the pool into the target. @returns where the last one ended, in bytes */
  run(
    pool: WorkerPool<Task>,
    items: () => NextItem,
    records: ItemRecords,
    settings: PipelineSettings,
  ): Promise<number>;
  /** Writes the rest of the target. @param diskSize bytes */
  finish(diskSize: number): Promise<void>;
  /** Makes the target durable without renaming it. */
  seal(): Promise<WrittenTarget>;
  /** Makes the target durable and renames it. The target is closed afterwards, on error too. */
  commit(): Promise<void>;
  /** The result, after `finish`. */
  result(): OutputResult;
}

/** A target that is complete and durable: under its temporary name, or written in place. */
export interface WrittenTarget {
  /** Opens the target where it is now. */
  readonly reference: ImageReference;
  /** The name of the data file, for messages. */
  readonly dataFileName: string | undefined;
  /** The file names that a qcow2 image must hold; undefined: a raw disk. */
  readonly names: ImageNames | undefined;
  /** Bytes of the disk that were written, from its start: the size of the source. */
  readonly size: number;
  /** Bytes of the disk; undefined: at least `size`. */
  readonly diskSize: number | undefined;
  readonly kind: Target['kind'];
  /** Whether the file system takes O_DIRECT, as far as is known. */
  readonly direct: boolean;
}

interface ImageNames {
  readonly backing: string | undefined;
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
}

/** The default of the smallest run of zeros that is not stored, as in qemu-img. In bytes. */
export const SPARSE_SIZE = 4096;

/** The part of a result that tells how a file was written. */
export function writeResult({ file }: Pick<Target, 'file'>) {
  return {
    targetCache: file.cacheMode,
    directRefused: file.directRefused,
    writeCalls: file.writeCalls,
    writtenBytes: file.writtenBytes,
  };
}
