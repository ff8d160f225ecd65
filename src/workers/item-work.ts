/**
 * Estimates the work of an item from the bytes of its segments. The constants are nanoseconds of a processor per byte,
 * measured on dense system files; only their proportions matter.
 */
import type { CompressionType } from '../compression-type.js';
import type { CompressorChoice } from '../engines/codec.js';
import type { Segment } from './segments.js';

/** Reading, and comparing with zeros. */
const READ = 0.7;
/** The same for the part of an item that is zeros. */
const ZEROS = 0.15;
export const HASH = 1.3;
const STORE = 0.8;
const INFLATE: Readonly<Record<CompressionType, number>> = { zlib: 2.5, zstd: 1.7 };
/** Finding the end of a payload that is copied, and storing it. */
const COPY = 1.2;
/** Compressing, by level from 0 on. The last value stands for the levels above. */
const LIBDEFLATE = [3, 3, 5, 6, 7, 9, 13, 19, 30, 40, 60, 80, 110];
const LIBZSTD = [4, 3, 3.5, 4, 6, 9, 12, 15, 18, 23, 29, 34, 40, 60, 80, 110, 150, 190];
const NODE_ZLIB = [4, 12, 13, 16, 20, 26, 36, 45, 65, 85];
/** Compressing with engine and level by content. */
const DEFAULT = 5.8;
/** Comparing a target with its source, besides reading both. */
export const COMPARE = 1.5;

/** @returns the work for a byte that is compressed, or stored uncompressed */
function storing(choice: CompressorChoice | undefined): number {
  if (choice === undefined) return STORE;
  if (choice.byContent !== undefined) return DEFAULT;
  const { engine, type, level } = choice;
  if (engine === 'isal') return LIBDEFLATE[0] as number;
  const costs = type === 'zstd' ? LIBZSTD : engine === 'node' ? NODE_ZLIB : LIBDEFLATE;
  return costs[Math.max(0, Math.min(level, costs.length - 1))] as number;
}

function reading(segment: Segment): number {
  return segment.kind === 'compressed' ? INFLATE[segment.payloads.type] : READ;
}

interface Segments {
  readonly segments: readonly Segment[];
  /** Bytes. */
  readonly length: number;
}

/** @returns the work of reading the segments, and `more` for each of their bytes */
export function readingWork({ segments, length }: Segments, more = 0): number {
  let work = length * ZEROS;
  for (const segment of segments) work += segment.length * (reading(segment) + more);
  return work;
}

/** The settings of a conversion that decide its work. */
export interface StoringSetup {
  /** undefined: clusters are stored uncompressed. */
  readonly compressor: CompressorChoice | undefined;
  /** Whether payloads of the source are copied if possible. */
  readonly passthrough: boolean;
  /** Bytes of the target's clusters. */
  readonly clusterSize: number;
}

/**
 * @param changed with a backing file: the clusters that may be stored
 * @returns the work of storing the segments, without reading them
 */
export function storingWork(
  { segments }: Pick<Segments, 'segments'>,
  { compressor, passthrough, clusterSize }: StoringSetup,
  changed?: readonly (readonly [from: number, to: number])[],
): number {
  let bytes = 0;
  let work = 0;
  for (const segment of segments) {
    const isCopied =
      passthrough &&
      segment.kind === 'compressed' &&
      segment.payloads.type === compressor?.type &&
      segment.payloads.clusterSize === clusterSize;
    bytes += segment.length;
    work += segment.length * (isCopied ? COPY : storing(compressor));
  }
  if (changed === undefined || bytes === 0) return work;
  const clusters = changed.reduce((sum, [from, to]) => sum + to - from, 0);
  return work * Math.min(1, (clusters * clusterSize) / bytes);
}

/** @returns the work of reading the target's clusters of the segments and comparing them */
export function rereadingWork(
  { segments }: Pick<Segments, 'segments'>,
  { compressor }: StoringSetup,
): number {
  const bytes = segments.reduce((sum, { length }) => sum + length, 0);
  return bytes * (COMPARE + (compressor === undefined ? READ : INFLATE[compressor.type]));
}
