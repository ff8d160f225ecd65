/**
 * The end of a new image's file: refcount blocks and table, bitmap directory and L1 table, contiguous in this
 * order. Used by the image writer. They count themselves, so all of them are placed before any is written.
 */
import { internalError } from '../errors.js';
import type { OverlapGuard } from '../storage/overlap-guard.js';
import { type HostOffset, hostOffset } from './addresses.js';
import type { ClusterAllocator } from './cluster-allocator.js';
import type { Refcounts } from './refcounts.js';
import { TableStream } from './table-stream.js';

/** Where they are, in bytes. */
export interface LastTables {
  readonly refcountTableOffset: HostOffset;
  readonly refcountTableClusters: number;
  /** Meaningless for an empty directory; so is the next for an empty L1 table. */
  readonly directoryOffset: HostOffset;
  readonly l1Offset: HostOffset;
  /** The end of the last table. */
  readonly end: number;
}

/**
 * @param refcounts of everything placed before
 * @param directory the bitmap directory; empty: none
 * @param l1 the L1 table
 * @throws Qcow2cError ERR_LIMIT when the refcount table would be larger than QEMU opens
 */
export async function writeLastTables(
  clusterSize: number,
  guard: OverlapGuard,
  allocator: ClusterAllocator,
  refcounts: Refcounts,
  directory: Uint8Array,
  l1: Uint8Array,
): Promise<LastTables> {
  const clustersFor = (bytes: Uint8Array) => Math.ceil(bytes.length / clusterSize);
  const further = clustersFor(directory) + clustersFor(l1);
  const { blocks, tableClusters } = refcounts.sizeOfRest(allocator.firstFree, further);
  const start = allocator.allocateRun(blocks + tableClusters + further);
  const refcountTableOffset = hostOffset(start + blocks * clusterSize);
  const directoryOffset = hostOffset(refcountTableOffset + tableClusters * clusterSize);
  const l1Offset = hostOffset(directoryOffset + clustersFor(directory) * clusterSize);
  const rest = refcounts.takeRest();
  if (rest.length !== blocks) {
    throw internalError(`${rest.length} refcount blocks where ${blocks} have room`);
  }
  for (const [index, block] of rest.entries()) {
    refcounts.place(block, hostOffset(start + index * clusterSize));
  }
  await new TableStream(guard).write(start, [
    ...rest.map(({ bytes }) => bytes),
    refcounts.encodeTable(tableClusters),
    directory,
    new Uint8Array(l1Offset - directoryOffset - directory.length),
    l1,
  ]);
  return {
    refcountTableOffset,
    refcountTableClusters: tableClusters,
    directoryOffset,
    l1Offset,
    end: l1Offset + l1.length,
  };
}
