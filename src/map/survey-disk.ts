/** Sums the state of the disk by cell: uncompressed, compressed, zeros, or in a backing file. */
import { type ChainStatus, StatusChain } from '../image/chain-status.js';
import type { OpenedImage } from '../image/open-image.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { Cells } from './cells.js';
import type { MapOptions } from './options.js';

/** Backing files that get a kind of their own; the last kind covers all deeper ones. */
const BACKING_KINDS = ['backing1', 'backing2', 'backing3'] as const;

export type DiskKind =
  /** Stored in the topmost image, uncompressed or compressed. */
  | 'data'
  | 'compressed'
  /** Bytes of the payloads of compressed clusters; added by the survey of the file. */
  | 'payload'
  /** Preallocated: space is reserved, no data was written. */
  | 'preallocated'
  /** Reads as zeros: a zero cluster, or a hole of a raw image. */
  | 'zero'
  /** Stored in a backing file, compressed or not. */
  | (typeof BACKING_KINDS)[number]
  /** In no image of the chain. */
  | 'unallocated';

/** Maximum number of cells for one cluster, so that a small disk does not become a few large tiles. */
const CELLS_PER_CLUSTER = 16;
const SMALLEST_CELL = 512;

/** The smallest cell that is worth drawing. @param clusterSize bytes, or undefined for a raw image */
export function smallestCell(clusterSize = 65536): number {
  return Math.max(SMALLEST_CELL, clusterSize / CELLS_PER_CLUSTER);
}

/**
 * @param clusterSize of the topmost image, in bytes; undefined: it is raw
 * @throws Qcow2cError ERR_CORRUPT, ERR_IO
 */
export async function surveyDisk(
  { source, layers }: OpenedImage,
  { startOffset = 0, maxLength = Number.POSITIVE_INFINITY }: Pick<MapOptions, 'startOffset' | 'maxLength'>,
  clusterSize: number | undefined,
): Promise<Cells<DiskKind>> {
  const chain = new StatusChain(layers);
  const end = Math.min(source.size, startOffset + maxLength);
  const cells = new Cells<DiskKind>(Math.min(startOffset, end), end, smallestCell(clusterSize));
  for (let at = startOffset; at < end; ) {
    const pause = yieldToEventLoop(undefined);
    if (pause !== undefined) await pause;
    const status = await chain.at(at);
    const length = Math.min(status.length, end - at);
    cells.add(kindOf(status), at, length);
    at += length;
  }
  return cells;
}

function kindOf({ data, zero, present, depth, storedLength }: ChainStatus): DiskKind {
  if (data && zero) return 'preallocated';
  if (zero) return present ? 'zero' : 'unallocated';
  if (depth > 0) return BACKING_KINDS[Math.min(depth, BACKING_KINDS.length) - 1] ?? 'backing3';
  return storedLength === undefined ? 'data' : 'compressed';
}
