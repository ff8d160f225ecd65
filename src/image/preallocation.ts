/**
 * Guesses whether an image was created with preallocation=metadata. The tables of such an image mark unwritten clusters
 * as data, and only the holes of its file show where data was written. The rule is QEMU's
 * (qcow2_detect_metadata_preallocation).
 */
import { fstat } from 'node:fs';
import { promisify } from 'node:util';
import { Qcow2cError } from '../errors.js';
import { isExportNumber } from '../nbd/open-exports.js';
import { clusterSizeOf } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { refcountedClusters } from '../qcow2/refcounted-clusters.js';
import type { HostFile } from './source.js';

/** Bytes in a block of `st_blocks`. */
const BLOCK_BYTES = 512;

/**
 * @param header of the image in `file`
 * @returns whether clearly more clusters are in use than the blocks of the file can hold; false if unknown
 */
export async function isPreallocated(header: Header, file: HostFile): Promise<boolean> {
  if (isExportNumber(file.descriptor)) return false;
  const { blocks } = await promisify(fstat)(file.descriptor);
  const allocated = Math.floor((blocks * BLOCK_BYTES) / clusterSizeOf(header));
  const threshold = Math.max(Math.floor((allocated * 10) / 9), allocated + 2);
  let used = 0;
  try {
    for await (const { first, count, isUsed } of refcountedClusters(file, header)) {
      for (let cluster = first; cluster < first + count; cluster += 1) {
        if (isUsed(cluster)) used += 1;
        if (used >= threshold) return true;
      }
    }
  } catch (error) {
    if (!(error instanceof Qcow2cError)) throw error;
  }
  return false;
}
