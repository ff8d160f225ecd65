/**
 * Reads the refcounts of an image block by block and tells which clusters of the file are in use. Specification: "Host
 * cluster management".
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { HostFile } from '../image/source.js';
import { REFCOUNT_BLOCK_MASK } from './entry-bits.js';
import { geometryOf, TABLE_ENTRY_BYTES } from './geometry.js';
import type { Header } from './header.js';
import { hasReferences } from './refcount-block.js';
import { TableCache } from './table-cache.js';

/** A refcount block and the clusters that it counts. */
interface RefcountedClusters {
  /** Offset of the block in the file, in bytes. */
  readonly offset: number;
  /** The first cluster that it counts, by its index in the file. */
  readonly first: number;
  /** Whether a cluster has references; `index` from `first` on. */
  isUsed(index: number): boolean;
  /** Number of clusters that it counts; for the last block only up to the end of the file. */
  readonly count: number;
}

/**
 * Reads the refcount blocks for the clusters of the file, in order. Clusters without a block are unused, and bytes
 * past the end of the file are zeros, as in QEMU (qcow2_get_refcount).
 * @param header of the image in `file`
 * @returns blocks, each valid until the next is requested
 * @throws Qcow2cError ERR_CORRUPT for a block that is not aligned to a cluster; ERR_IO
 */
export async function* refcountedClusters(
  file: Pick<HostFile, 'name' | 'read' | 'size'>,
  header: Header,
): AsyncGenerator<RefcountedClusters> {
  const { refcountTableOffset, refcountTableClusters } = header;
  const { clusterSize, refcountBits, refcountBlockEntries } = geometryOf(header);
  const clusters = Math.ceil(file.size / clusterSize);
  const table = new TableCache(file, 'zeros');
  const tableEntries = (refcountTableClusters * clusterSize) / TABLE_ENTRY_BYTES;
  const entries = Math.min(tableEntries, Math.ceil(clusters / refcountBlockEntries));
  const block = new Uint8Array(clusterSize);
  for (let index = 0; index < entries; index += 1) {
    const at = refcountTableOffset + index * TABLE_ENTRY_BYTES;
    const { view, at: inView } = await table.entriesFrom(at, TABLE_ENTRY_BYTES);
    // A number past 2^53 is rounded, but then lies past the end of any file.
    const offset = Number(view.getBigUint64(inView) & REFCOUNT_BLOCK_MASK);
    if (offset === 0) continue;
    if (offset % clusterSize !== 0) {
      const where = `refcount block ${index} of ${quoted(file.name)}`;
      throw new Qcow2cError('ERR_CORRUPT', `The offset ${offset} of ${where} is not aligned to a cluster`, {
        file: file.name,
        offset: at,
        expected: `a multiple of ${clusterSize}`,
        found: offset,
      });
    }
    block.fill(0, offset < file.size ? await file.read(offset, block) : 0);
    const first = index * refcountBlockEntries;
    yield {
      offset,
      first,
      count: Math.min(refcountBlockEntries, clusters - first),
      isUsed: (cluster) => hasReferences(block, cluster - first, refcountBits),
    };
  }
}
