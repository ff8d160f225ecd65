/**
 * The length of a qcow2 file with every cluster of its disk. The rules are those of QEMU (qcow2_calc_prealloc_size and
 * qcow2_refcount_metadata_size in block/qcow2.c); scripts depend on its numbers.
 */
import { roundUp } from '../arithmetic.js';
import { Qcow2cError } from '../errors.js';
import { type Geometry, l1EntriesFor, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';

/** @param virtualSize bytes @returns bytes: header, all tables and all clusters */
export function fullyAllocatedSize(geometry: Geometry, virtualSize: number): number {
  const { clusterSize } = geometry;
  const l2Tables = l1EntriesFor(geometry, virtualSize);
  const l1Clusters = Math.ceil((l2Tables * TABLE_ENTRY_BYTES) / clusterSize);
  const clusters = 1 + l2Tables + l1Clusters + Math.ceil(virtualSize / clusterSize);
  return (clusters + refcountClusters(geometry, clusters)) * clusterSize;
}

/** Clusters of refcount blocks and table for `clusters` others; they count themselves too. */
function refcountClusters(geometry: Geometry, clusters: number): number {
  const { refcountBlockEntries, clusterSize } = geometry;
  let found = 0;
  for (let before = -1; found !== before; ) {
    before = found;
    const blocks = Math.ceil((clusters + found) / refcountBlockEntries);
    found = blocks + Math.ceil((blocks * TABLE_ENTRY_BYTES) / clusterSize);
  }
  return found;
}

/** @throws Qcow2cError ERR_LIMIT for a disk of `size` bytes that needs a larger L1 table than QEMU opens */
export function refuseLargeSize(geometry: Geometry, size: number): void {
  if (l1EntriesFor(geometry, roundUp(size, geometry.clusterSize)) * TABLE_ENTRY_BYTES <= MAX_L1_BYTES) return;
  throw new Qcow2cError('ERR_LIMIT', 'The image size is too large (try using a larger cluster size)', {
    found: size,
  });
}
