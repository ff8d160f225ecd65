/**
 * Replaces a snapshot table that cannot be read. Snapshots past QEMU's bounds are dropped, extra data are cut or
 * completed. Rules: qcow2_do_read_snapshots with repair, qcow2_write_snapshots in QEMU. Specification: "Snapshots".
 */
import { roundDown } from '../arithmetic.js';
import { hostOffset } from '../qcow2/addresses.js';
import { readU32, writeU32, writeU64 } from '../qcow2/be64.js';
import { type Header, MAX_SNAPSHOTS, SNAPSHOT_FIXED_BYTES } from '../qcow2/header.js';
import {
  MAX_EXTRA_DATA_BYTES,
  MAX_SNAPSHOT_TABLE_BYTES,
  SNAPSHOT_AT,
  SNAPSHOT_EXTRA_AT,
  snapshotParts,
  V3_EXTRA_BYTES,
} from '../qcow2/snapshot-entry.js';
import { TableReader } from '../qcow2/table-reader.js';
import { SECTOR_SIZE } from '../sector.js';
import type { CheckedImage } from './checked-image.js';
import type { Finding } from './findings.js';
import type { RepairFile } from './repair-file.js';
import type { TablePointers } from './repair-header.js';
import type { ClusterRange } from './repair-survey.js';

/** Most bytes of a table, including extra data to be cut: QEMU's INT_MAX. */
const MAX_SPAN = 2 ** 31 - 1;
/** Bytes written at once. */
const WRITE_BYTES = 2 ** 20;

export interface NewSnapshotTable extends Pick<TablePointers, 'snapshotCount' | 'snapshotsOffset'> {
  /** Corruptions that it repairs. */
  readonly corruptions: number;
  /** Clusters of the old table and of the new one. */
  readonly own: readonly ClusterRange[];
}

type OnRepair = (finding: Finding, repairing: boolean) => void | Promise<void>;

interface Entry {
  /** The bytes to be written, without padding. */
  readonly bytes: Uint8Array;
  readonly id: string;
  readonly name: string;
  readonly isCut: boolean;
  readonly isCompleted: boolean;
}

/**
 * Writes a new table if one is needed, and makes it durable. Nothing refers to it yet. If the only fault is the
 * number of snapshots, the old table stays.
 * @param findEnd returns the first cluster after the file and all references; undefined when nothing may be written
 *   there
 * @param onFinding called for each entry that is completed
 * @returns undefined when the table is valid, or cannot be repaired
 * @throws Qcow2cError ERR_CORRUPT, ERR_IO
 */
export async function writeNewSnapshotTable(
  file: RepairFile,
  image: CheckedImage,
  findEnd: () => Promise<number | undefined>,
  onFinding: OnRepair | undefined,
): Promise<NewSnapshotTable | undefined> {
  const { header, geometry } = image;
  const { clusterSize } = geometry;
  const survey = { count: 0, cut: 0, completed: 0, length: 0, oldLength: 0 };
  for await (const { bytes, isCut, isCompleted, end } of entries(image)) {
    survey.count += 1;
    if (isCut) survey.cut += 1;
    if (isCompleted) survey.completed += 1;
    survey.length = Math.ceil(survey.length / 8) * 8 + bytes.length;
    survey.oldLength = end - header.snapshotsOffset;
  }
  const dropped = header.snapshotCount - survey.count;
  const corruptions = dropped + survey.cut + survey.completed;
  if (corruptions === 0) return undefined;
  const { count: snapshotCount } = survey;
  if (corruptions === dropped) {
    return { snapshotCount, snapshotsOffset: header.snapshotsOffset, corruptions, own: [] };
  }
  const first = await findEnd();
  if (first === undefined) return undefined;
  const offset = hostOffset(first * clusterSize);
  await writeEntries(file, image, offset, onFinding);
  await file.sync();
  const old = Math.floor(header.snapshotsOffset / clusterSize);
  return {
    snapshotCount,
    snapshotsOffset: offset,
    corruptions,
    own: [
      { from: old, to: old + Math.ceil(survey.oldLength / clusterSize) },
      { from: first, to: Math.ceil(file.size / clusterSize) },
    ],
  };
}

async function writeEntries(
  file: RepairFile,
  image: CheckedImage,
  offset: number,
  onFinding: OnRepair | undefined,
): Promise<void> {
  let index = 0;
  let parts: Uint8Array[] = [];
  let length = 0;
  let at = offset;
  for await (const { bytes, id, name, isCompleted } of entries(image)) {
    if (isCompleted) await onFinding?.({ kind: 'snapshot-incomplete', index, id, name }, true);
    index += 1;
    parts.push(bytes, new Uint8Array(Math.ceil(bytes.length / 8) * 8 - bytes.length));
    length += Math.ceil(bytes.length / 8) * 8;
    if (length < WRITE_BYTES) continue;
    await file.append(at, Buffer.concat(parts));
    at += length;
    parts = [];
    length = 0;
  }
  const rest = Buffer.concat(parts);
  const { clusterSize } = image.geometry;
  const whole = new Uint8Array(Math.ceil((at + rest.length) / clusterSize) * clusterSize - at);
  whole.set(rest);
  await file.append(at, whole);
}

/** Reads the entries that are kept, as they will be written. */
async function* entries({ file, header }: CheckedImage): AsyncGenerator<Entry & { readonly end: number }> {
  const reader = new TableReader(file, 'snapshot table', {
    offset: header.snapshotsOffset,
    length: MAX_SPAN,
  });
  let length = 0;
  for (let index = 0; index < Math.min(header.snapshotCount, MAX_SNAPSHOTS); index += 1) {
    const entry = await nextEntry(reader, header);
    if (entry === undefined) return;
    length = Math.ceil(length / 8) * 8 + entry.bytes.length;
    if (length > MAX_SNAPSHOT_TABLE_BYTES) return;
    yield { ...entry, end: reader.offset };
    const padding = Math.ceil(reader.offset / 8) * 8 - reader.offset;
    reader.skip(padding);
  }
}

/** @returns undefined when the table would be too long */
async function nextEntry(reader: TableReader, header: Header): Promise<Entry | undefined> {
  const fixed = (await reader.take(SNAPSHOT_FIXED_BYTES)).slice();
  const parts = snapshotParts(fixed);
  const kept = Math.min(parts.extra, MAX_EXTRA_DATA_BYTES);
  if (reader.offset + parts.extra + parts.id + parts.name > header.snapshotsOffset + MAX_SPAN)
    return undefined;
  const extra = new Uint8Array(header.version === 3 ? Math.max(kept, V3_EXTRA_BYTES) : kept);
  extra.set(await reader.take(kept));
  reader.skip(parts.extra - kept);
  const isCompleted = extra.length > kept;
  if (isCompleted && kept < SNAPSHOT_EXTRA_AT.diskSize) {
    writeU64(extra, SNAPSHOT_EXTRA_AT.vmStateSize, BigInt(readU32(fixed, SNAPSHOT_AT.vmStateSize)));
  }
  if (isCompleted) {
    writeU64(extra, SNAPSHOT_EXTRA_AT.diskSize, BigInt(roundDown(header.virtualSize, SECTOR_SIZE)));
  }
  writeU32(fixed, SNAPSHOT_AT.extraBytes, extra.length);
  const id = (await reader.take(parts.id)).slice();
  const name = await reader.take(parts.name);
  return {
    bytes: Buffer.concat([fixed, extra, id, name]),
    id: Buffer.from(id).toString(),
    name: Buffer.from(name).toString(),
    isCut: parts.extra > kept,
    isCompleted,
  };
}
