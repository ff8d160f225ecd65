/**
 * The internal snapshots of an image: finds the one that a conversion reads. The table is passed through
 * entry by entry, so memory does not grow with it. Specification: "Snapshots".
 */
import { Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import type { HostOffset } from './addresses.js';
import { readU32, readU64 } from './be64.js';
import { INCOMPATIBLE_EXTENDED_L2 } from './features.js';
import { geometry, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';
import type { Header } from './header.js';
import { TableReader } from './table-reader.js';

/** Which snapshot: by its identifier, its name, both, or by a word that may be either (identifiers first). */
export type SnapshotSelector =
  | { readonly idOrName: string }
  | { readonly id?: string | undefined; readonly name?: string | undefined };

/** QEMU's bounds (QCOW_MAX_SNAPSHOTS_SIZE, QCOW_MAX_SNAPSHOT_EXTRA_DATA), in bytes. */
const MAX_TABLE_BYTES = 64 * 1024 * 1024;
const MAX_EXTRA_DATA_BYTES = 1024;
/** The entry's part before extra data, identifier and name, and the extra data that are looked at. */
const FIXED_BYTES = 40;
const KNOWN_EXTRA_DATA_BYTES = 16;

export interface Snapshot {
  /** Unique in the image. */
  readonly id: string;
  /** Need not be unique, may be empty. */
  readonly name: string;
  /** The snapshot's own L1 table, aligned to a cluster. */
  readonly l1Offset: HostOffset;
  /**
   * How many of its entries describe the disk. The disk itself has the image's present size, as qemu-img
   * convert -l gives it, whether it has grown or shrunk since: guest clusters past the entries are unallocated
   * (qcow2_get_host_offset in QEMU), so they read as the backing file has them, or as zeros.
   */
  readonly l1Entries: number;
}

/** An entry as far as it is understood when it is passed. */
interface Entry {
  readonly id: string;
  readonly name: string;
  /** Where it is in the file, in bytes, and its bytes up to the known extra data. */
  readonly offset: number;
  readonly bytes: Uint8Array;
}

type ImageWithSnapshots = Pick<
  Header,
  'clusterBits' | 'incompatibleFeatures' | 'snapshotCount' | 'snapshotsOffset'
>;

/**
 * Finds a snapshot as qemu-img does (bdrv_snapshot_load_tmp_by_id_or_name in QEMU): the first in the table
 * that fits; a word is looked for among all identifiers before it is looked for among names. Only the
 * snapshot that is found is checked in full.
 * @throws Qcow2cError ERR_USAGE when there is none; ERR_CORRUPT for a table past the end of the file or past
 *   QEMU's bounds, and for an L1 table that cannot be; ERR_IO
 */
export async function findSnapshot(
  file: Pick<Storage, 'name' | 'read'>,
  image: ImageWithSnapshots,
  selector: SnapshotSelector,
): Promise<Snapshot> {
  const reader = new TableReader(file, 'snapshot table', {
    offset: image.snapshotsOffset,
    length: MAX_TABLE_BYTES,
  });
  let named: Entry | undefined;
  for (let index = 0; index < image.snapshotCount; index += 1) {
    const entry = await nextEntry(reader);
    if ('idOrName' in selector) {
      if (entry.id === selector.idOrName) return decodeSnapshot(reader, image, entry);
      if (entry.name === selector.idOrName) named ??= entry;
    } else if (fits(entry, selector)) {
      return decodeSnapshot(reader, image, entry);
    }
  }
  if (named !== undefined) return decodeSnapshot(reader, image, named);
  throw new Qcow2cError(
    'ERR_USAGE',
    `Failed to load snapshot: Can't find snapshot ${inWords(selector)} in ${quoted(file.name)}`,
    { file: file.name },
  );
}

function fits(
  entry: Entry,
  { id, name }: { readonly id?: string | undefined; readonly name?: string | undefined },
) {
  if (id === undefined && name === undefined) return false;
  return (id === undefined || id === entry.id) && (name === undefined || name === entry.name);
}

function inWords(selector: SnapshotSelector): string {
  if ('idOrName' in selector) return quoted(selector.idOrName);
  const { id, name } = selector;
  const parts = [
    ...(id === undefined ? [] : [`identifier ${quoted(id)}`]),
    ...(name === undefined ? [] : [`name ${quoted(name)}`]),
  ];
  return `with ${parts.join(' and ') || 'neither identifier nor name'}`;
}

async function nextEntry(reader: TableReader): Promise<Entry> {
  const { offset } = reader;
  const bytes = new Uint8Array(FIXED_BYTES + KNOWN_EXTRA_DATA_BYTES);
  bytes.set(await reader.take(FIXED_BYTES));
  const lengths = readU32(bytes, 12);
  const extraLength = readU32(bytes, 36);
  if (extraLength > MAX_EXTRA_DATA_BYTES) {
    throw reader.corrupt('extra_data_size', offset + 36, `at most ${MAX_EXTRA_DATA_BYTES}`, extraLength);
  }
  bytes.set((await reader.take(extraLength)).subarray(0, KNOWN_EXTRA_DATA_BYTES), FIXED_BYTES);
  const id = text(await reader.take(Math.floor(lengths / 0x10000)));
  const name = text(await reader.take(lengths % 0x10000));
  const length = reader.offset - offset;
  reader.skip(Math.ceil(length / 8) * 8 - length);
  return {
    id,
    name,
    offset,
    bytes: bytes.subarray(0, FIXED_BYTES + Math.min(extraLength, KNOWN_EXTRA_DATA_BYTES)),
  };
}

/** Up to a NUL, as QEMU compares it. What is not UTF-8 is replaced, as it is in the program's arguments. */
function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(end === -1 ? bytes : bytes.subarray(0, end));
}

/** The entry's numbers, checked. */
function decodeSnapshot(reader: TableReader, image: ImageWithSnapshots, entry: Entry): Snapshot {
  const { id, name, offset, bytes } = entry;
  const l1Size = readU32(bytes, 8);
  const maxL1Entries = MAX_L1_BYTES / TABLE_ENTRY_BYTES;
  if (l1Size > maxL1Entries) throw reader.corrupt('l1_size', offset + 8, `at most ${maxL1Entries}`, l1Size);
  const l1Bytes = l1Size * TABLE_ENTRY_BYTES;
  const l1Offset = reader.tableOffset(
    'l1_table_offset',
    offset,
    readU64(bytes, 0),
    l1Bytes,
    2 ** image.clusterBits,
  );
  return { id, name, l1Offset, l1Entries: Math.min(l1Size, diskEntries(image, bytes)) };
}

/**
 * From which entry of its L1 table on a snapshot holds the state of the virtual machine. That of an image
 * that has grown since would otherwise be read as the disk's.
 */
function diskEntries({ clusterBits, incompatibleFeatures }: ImageWithSnapshots, bytes: Uint8Array): number {
  const extra = bytes.length - FIXED_BYTES;
  const vmStateSize = extra >= 8 ? readU64(bytes, 40) : BigInt(readU32(bytes, 32));
  // Without a disk size the image cannot have grown: QEMU resizes no version 2 image that has snapshots.
  if (vmStateSize === 0n || extra < 16) return Number.POSITIVE_INFINITY;
  const extendedL2 = (incompatibleFeatures & INCOMPATIBLE_EXTENDED_L2) !== 0n;
  const { clusterSize, l2Entries } = geometry(clusterBits, 16, extendedL2);
  return Math.ceil(Number(readU64(bytes, 48)) / (clusterSize * l2Entries));
}
