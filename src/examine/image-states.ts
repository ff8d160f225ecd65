/** The states of an image that can be examined: the disk and its internal snapshots. */
import { clusterSizeOf, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { snapshotEntries, snapshotTableReader } from '../qcow2/snapshot-entry.js';
import { TableBudget } from '../qcow2/table-budget.js';
import type { L1Table } from '../qcow2/table-walk.js';
import type { Storage } from '../storage/storage.js';

/** Characters of an identifier that are kept, as in QEMU (QEMUSnapshotInfo). */
const MOST_ID = 127;

export interface ImageState extends L1Table {
  /** The snapshot's identifier; undefined: the disk. */
  readonly snapshot: string | undefined;
}

/**
 * @param snapshots include the snapshots. One with an impossible place of its L1 table is left out: the check of the
 *   tables reports it.
 * @returns the disk first, then the snapshots in the order of their table
 * @throws Qcow2cError ERR_CORRUPT or ERR_IO for a snapshot table that cannot be read; ERR_CORRUPT for L1 tables that
 *   share their bytes
 */
export async function imageStates(
  file: Pick<Storage, 'name' | 'read'> & { readonly size: number },
  header: Header,
  snapshots: boolean,
): Promise<readonly ImageState[]> {
  const { l1Offset, l1Entries } = header;
  const states: ImageState[] = [{ l1Offset, l1Entries, snapshot: undefined }];
  if (!snapshots) return states;
  const tables = new TableBudget(file, 'L1 tables of snapshots');
  for await (const entry of snapshotEntries(snapshotTableReader(file, header), header)) {
    const offset = Number(entry.l1Offset);
    const bytes = entry.l1Entries * TABLE_ENTRY_BYTES;
    const isUsable = Number.isSafeInteger(offset + bytes) && offset % clusterSizeOf(header) === 0;
    if (!isUsable || bytes > MAX_L1_BYTES) continue;
    tables.take(offset, bytes);
    // A copy: a part of a string keeps all of it.
    const snapshot = Buffer.from(entry.id.slice(0, MOST_ID)).toString();
    states.push({ l1Offset: offset, l1Entries: entry.l1Entries, snapshot });
  }
  return states;
}
