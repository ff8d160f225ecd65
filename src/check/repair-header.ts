/**
 * Changes a header in place. All changed fields are in the first sector, so that a disk writes a change completely
 * or not at all. Specification: "Header".
 */
import { writeU32, writeU64 } from '../qcow2/be64.js';
import { INCOMPATIBLE_CORRUPT, INCOMPATIBLE_DIRTY, KNOWN_AUTOCLEAR } from '../qcow2/features.js';
import type { Header } from '../qcow2/header.js';
import type { RepairFile } from './repair-file.js';

const REFCOUNT_TABLE_AT = 48;
const INCOMPATIBLE_AT = 72;
const AUTOCLEAR_AT = 88;

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
  await file.change(REFCOUNT_TABLE_AT, 24, (bytes) => {
    writeU64(bytes, 0, BigInt(tables.refcountTableOffset));
    writeU32(bytes, 8, tables.refcountTableClusters);
    writeU32(bytes, 12, tables.snapshotCount);
    writeU64(bytes, 16, BigInt(tables.snapshotsOffset));
  });
  await file.sync();
}

/** Clears unknown autoclear bits, as every writer of an image must (specification: autoclear_features). */
export async function clearUnknownAutoclear(file: RepairFile, header: Header): Promise<void> {
  if ((header.autoclearFeatures & ~KNOWN_AUTOCLEAR) === 0n) return;
  await file.change(AUTOCLEAR_AT, 8, (bytes) => {
    writeU64(bytes, 0, header.autoclearFeatures & KNOWN_AUTOCLEAR);
  });
  await file.sync();
}

/** Whether the header marks the image as dirty or corrupt. */
export function isMarked({ incompatibleFeatures }: Header): boolean {
  return (incompatibleFeatures & (INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT)) !== 0n;
}

/**
 * Clears both marks (qcow2_mark_clean and qcow2_mark_consistent in QEMU). The image must be valid, and durably so.
 */
export async function clearMarks(file: RepairFile, { incompatibleFeatures }: Header): Promise<void> {
  await file.change(INCOMPATIBLE_AT, 8, (bytes) => {
    writeU64(bytes, 0, incompatibleFeatures & ~(INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT));
  });
  await file.sync();
}
