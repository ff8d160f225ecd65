/**
 * Changes a header in place. All changed fields are in the first sector, so that a disk writes a change completely
 * or not at all. Specification: "Header".
 */
import { writeU32, writeU64 } from '../qcow2/be64.js';
import { INCOMPATIBLE_CORRUPT, INCOMPATIBLE_DIRTY } from '../qcow2/features.js';
import type { Header } from '../qcow2/header.js';
import { HEADER_AT } from '../qcow2/header-layout.js';
import { clearUnknownAutoclear } from '../qcow2/replaced-header.js';
import { SECTOR_SIZE } from '../sector.js';
import type { RepairFile } from './repair-file.js';

/** The places of refcount table and snapshot table. */
export type TablePointers = Pick<
  Header,
  'refcountTableOffset' | 'refcountTableClusters' | 'snapshotCount' | 'snapshotsOffset'
>;

/**
 * Makes the header name other tables, in one durable write.
 * @param tables durable already, with their refcounts
 */
export async function writeTablePointers(file: RepairFile, tables: TablePointers): Promise<void> {
  await file.change(0, SECTOR_SIZE, (bytes) => {
    writeU64(bytes, HEADER_AT.refcountTableOffset, BigInt(tables.refcountTableOffset));
    writeU32(bytes, HEADER_AT.refcountTableClusters, tables.refcountTableClusters);
    writeU32(bytes, HEADER_AT.snapshotCount, tables.snapshotCount);
    writeU64(bytes, HEADER_AT.snapshotsOffset, BigInt(tables.snapshotsOffset));
  });
  await file.sync();
}

/** Makes the header claim only known autoclear bits, in one durable write if it claims others. */
export async function writeKnownAutoclear(file: RepairFile, header: Header): Promise<void> {
  const isChanged = await file.change(0, SECTOR_SIZE, (bytes) => clearUnknownAutoclear(bytes, header));
  if (isChanged) await file.sync();
}

/** Whether the header marks the image as dirty or corrupt. */
export function isMarked({ incompatibleFeatures }: Header): boolean {
  return (incompatibleFeatures & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT)) !== 0n;
}

/**
 * Clears both marks (qcow2_mark_clean and qcow2_mark_consistent in QEMU). The image must be valid, and durably so.
 */
export async function clearMarks(file: RepairFile, { incompatibleFeatures }: Header): Promise<void> {
  const unmarked = incompatibleFeatures & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT);
  await file.change(0, SECTOR_SIZE, (bytes) => writeU64(bytes, HEADER_AT.incompatibleFeatures, unmarked));
  await file.sync();
}
