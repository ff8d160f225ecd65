/**
 * Reads the entries of a snapshot table one after another, so that memory does not grow with the table. Specification:
 * "Snapshots"; bounds: qcow2_do_read_snapshots in QEMU.
 *
 *     an entry: l1_table_offset (8 bytes), l1_size (4), id_str_size (2), name_size (2), date_sec (4), date_nsec (4),
 *               vm_clock_nsec (8), vm_state_size (4), extra_data_size (4), extra data, id_str, name, padding to a
 *               multiple of 8
 *     extra data: vm_state_size (8), disk_size (8), icount (8), as far as present
 */
import type { Storage } from '../storage/storage.js';
import { readU16, readU32, readU64 } from './be64.js';
import { type Header, SNAPSHOT_FIXED_BYTES } from './header.js';
import { decodeShownName } from './stored-name.js';
import { TableReader } from './table-reader.js';

/** QEMU's bounds (QCOW_MAX_SNAPSHOTS_SIZE, QCOW_MAX_SNAPSHOT_EXTRA_DATA), in bytes. */
export const MAX_SNAPSHOT_TABLE_BYTES = 64 * 1024 * 1024;
export const MAX_EXTRA_DATA_BYTES = 1024;

/** Offsets in the fixed part of an entry, in bytes. */
export const SNAPSHOT_AT = {
  l1Offset: 0,
  l1Entries: 8,
  idBytes: 12,
  nameBytes: 14,
  dateSeconds: 16,
  dateNanoseconds: 20,
  vmClock: 24,
  vmStateSize: 32,
  extraBytes: 36,
} as const;
/** Offsets in the extra data, in bytes. */
export const SNAPSHOT_EXTRA_AT = { vmStateSize: 0, diskSize: 8, icount: 16 } as const;
/** Bytes of extra data that version 3 requires. */
export const V3_EXTRA_BYTES = 16;

/** The value of an instruction count that was not recorded (specification: -1). */
const NO_ICOUNT = 2n ** 64n - 1n;

/** A snapshot as stored in the table. Only the lengths inside the entry are checked. */
export interface SnapshotEntry {
  /** Offset of the entry in the file, in bytes. */
  readonly offset: number;
  /** Bytes of the entry without its padding, which the file may lack after the last entry. */
  readonly length: number;
  /** Unique in a valid image; at most 65535 bytes. */
  readonly id: string;
  /** May be empty or repeated; at most 65535 bytes. */
  readonly name: string;
  /** Offset of the snapshot's own L1 table, in bytes. */
  readonly l1Offset: bigint;
  /** Entries of that table. */
  readonly l1Entries: number;
  /** Time of the snapshot, in seconds since 1970 and nanoseconds. */
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  /** Running time of the virtual machine, in nanoseconds. */
  readonly vmClock: bigint;
  /** Bytes of the state of the virtual machine; 0n: there is none. */
  readonly vmStateSize: bigint;
  /** Bytes of the disk; undefined: the image's present size. */
  readonly diskSize: bigint | undefined;
  /** Instructions executed; undefined if not recorded. */
  readonly icount: bigint | undefined;
}

/** The reader for the snapshot table of the image in `file`. */
export function snapshotTableReader(
  file: Pick<Storage, 'name' | 'read'>,
  { snapshotsOffset }: Pick<Header, 'snapshotsOffset'>,
): TableReader {
  return new TableReader(file, 'snapshot table', {
    offset: snapshotsOffset,
    length: MAX_SNAPSHOT_TABLE_BYTES,
  });
}

/**
 * Reads all snapshots in the order of the table.
 * @param reader at the start of the table
 * @throws Qcow2cError ERR_CORRUPT for a table past the end of the file or past QEMU's bounds; ERR_IO
 */
export async function* snapshotEntries(
  reader: TableReader,
  { snapshotCount }: Pick<Header, 'snapshotCount'>,
): AsyncGenerator<SnapshotEntry> {
  for (let index = 0; index < snapshotCount; index += 1) yield await nextEntry(reader);
}

/** Lengths of the parts that follow the fixed part of an entry, in their order, in bytes. */
interface SnapshotParts {
  /** Any 32-bit number: QEMU refuses more than MAX_EXTRA_DATA_BYTES. */
  readonly extra: number;
  readonly id: number;
  readonly name: number;
}

/** @param fixed the fixed part of an entry */
export function snapshotParts(fixed: Uint8Array): SnapshotParts {
  return {
    extra: readU32(fixed, SNAPSHOT_AT.extraBytes),
    id: readU16(fixed, SNAPSHOT_AT.idBytes),
    name: readU16(fixed, SNAPSHOT_AT.nameBytes),
  };
}

async function nextEntry(reader: TableReader): Promise<SnapshotEntry> {
  const { offset } = reader;
  const fixed = (await reader.take(SNAPSHOT_FIXED_BYTES)).slice();
  const parts = snapshotParts(fixed);
  if (parts.extra > MAX_EXTRA_DATA_BYTES) {
    const expected = `at most ${MAX_EXTRA_DATA_BYTES}`;
    throw reader.corrupt('extra_data_size', offset + SNAPSHOT_AT.extraBytes, expected, parts.extra);
  }
  const extra = (await reader.take(parts.extra)).slice();
  const extraField = (at: number) => (extra.length >= at + 8 ? readU64(extra, at) : undefined);
  // Invalid UTF-8 is replaced, as Node.js does in the program's arguments.
  const id = decodeShownName(await reader.take(parts.id)) ?? '';
  const name = decodeShownName(await reader.take(parts.name)) ?? '';
  const icount = extraField(SNAPSHOT_EXTRA_AT.icount);
  const length = reader.offset - offset;
  reader.skip(Math.ceil(length / 8) * 8 - length);
  return {
    offset,
    length,
    id,
    name,
    l1Offset: readU64(fixed, SNAPSHOT_AT.l1Offset),
    l1Entries: readU32(fixed, SNAPSHOT_AT.l1Entries),
    dateSeconds: readU32(fixed, SNAPSHOT_AT.dateSeconds),
    dateNanoseconds: readU32(fixed, SNAPSHOT_AT.dateNanoseconds),
    vmClock: readU64(fixed, SNAPSHOT_AT.vmClock),
    vmStateSize: extraField(SNAPSHOT_EXTRA_AT.vmStateSize) ?? BigInt(readU32(fixed, SNAPSHOT_AT.vmStateSize)),
    diskSize: extraField(SNAPSHOT_EXTRA_AT.diskSize),
    icount: icount === NO_ICOUNT ? undefined : icount,
  };
}
