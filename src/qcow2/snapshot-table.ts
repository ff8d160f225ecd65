/** Finds an internal snapshot of an image. Specification: "Snapshots". */
import { Qcow2cError, quoted } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import type { HostOffset } from './addresses.js';
import { hasExtendedL2 } from './features.js';
import { clusterSizeOf, geometry, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from './geometry.js';
import type { Header } from './header.js';
import { SNAPSHOT_AT, type SnapshotEntry, snapshotEntries, snapshotTableReader } from './snapshot-entry.js';
import type { TableReader } from './table-reader.js';

/** Selects a snapshot by identifier, by name, by both, or by a word: an identifier, else a name. */
export type SnapshotSelector =
  | { readonly idOrName: string }
  | { readonly id?: string | undefined; readonly name?: string | undefined };

interface Snapshot {
  /** Unique in the image. */
  readonly id: string;
  /** May be empty or repeated. */
  readonly name: string;
  /** The snapshot's own L1 table, aligned to a cluster. */
  readonly l1Offset: HostOffset;
  /**
   * Number of its entries that describe the disk. The disk has the image's present size, as with qemu-img convert
   * -l. Guest clusters past the entries are unallocated (qcow2_get_host_offset in QEMU): they read from the backing
   * file, or as zeros.
   */
  readonly l1Entries: number;
}

type ImageWithSnapshots = Pick<
  Header,
  'clusterBits' | 'incompatibleFeatures' | 'snapshotCount' | 'snapshotsOffset'
>;

/**
 * Finds a snapshot as qemu-img does (bdrv_snapshot_load_tmp_by_id_or_name in QEMU): the first match in the table. A
 * word is compared with all identifiers before it is compared with names. Only the selected snapshot is checked
 * completely.
 * @throws Qcow2cError ERR_USAGE when there is none; ERR_CORRUPT for a table past the end of the file or past QEMU's
 *   bounds, and for an invalid L1 table; ERR_IO
 */
export async function findSnapshot(
  file: Pick<Storage, 'name' | 'read'>,
  image: ImageWithSnapshots,
  selector: SnapshotSelector,
): Promise<Snapshot> {
  const reader = snapshotTableReader(file, image);
  let named: SnapshotEntry | undefined;
  for await (const entry of snapshotEntries(reader, image)) {
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
  entry: SnapshotEntry,
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

/** Checks the L1 table of the entry. */
function decodeSnapshot(reader: TableReader, image: ImageWithSnapshots, entry: SnapshotEntry): Snapshot {
  const { id, name, offset, l1Entries } = entry;
  const most = MAX_L1_BYTES / TABLE_ENTRY_BYTES;
  if (l1Entries > most)
    throw reader.corrupt('l1_size', offset + SNAPSHOT_AT.l1Entries, `at most ${most}`, l1Entries);
  const l1Bytes = l1Entries * TABLE_ENTRY_BYTES;
  const clusterSize = clusterSizeOf(image);
  const l1Offset = reader.tableOffset(
    'l1_table_offset',
    offset + SNAPSHOT_AT.l1Offset,
    entry.l1Offset,
    l1Bytes,
    clusterSize,
  );
  return { id, name, l1Offset, l1Entries: Math.min(l1Entries, diskEntries(image, entry)) };
}

/**
 * Counts the entries of a snapshot's L1 table that describe the disk. The others hold the state of the virtual
 * machine. If the image has grown since, they would read as the disk's.
 */
function diskEntries(image: ImageWithSnapshots, { vmStateSize, diskSize }: SnapshotEntry): number {
  // Without a disk size the image cannot have grown: QEMU resizes no version 2 image with snapshots.
  if (vmStateSize === 0n || diskSize === undefined) return Number.POSITIVE_INFINITY;
  const { clusterSize, l2Entries } = geometry(image.clusterBits, 16, hasExtendedL2(image));
  return Math.ceil(Number(diskSize) / (clusterSize * l2Entries));
}
