/**
 * Visits the L2 tables of several states of an image (the disk, its snapshots) in parallel. Shared tables are visited
 * once, and memory does not grow with the tables or their number. Specification: "Cluster mapping".
 */
import { Qcow2cError } from '../errors.js';
import type { Storage } from '../storage/storage.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { fileErrorOnly } from './cluster-lookup.js';
import { clusterSizeOf, l2EntryBytes, TABLE_ENTRY_BYTES } from './geometry.js';
import { decodeL1Entry } from './l1-entry.js';
import { TableCache } from './table-cache.js';

/** Bytes of all tables that are read in parallel. */
const MEMORY_BYTES = 1024 * 1024;
/** Most bytes of one of them. */
const LARGEST_PIECE_BYTES = 65536;

/** The L1 table of a state. */
export interface L1Table {
  /** In the file, in bytes, aligned to a cluster. */
  readonly l1Offset: number;
  readonly l1Entries: number;
}

/** The L2 entries of consecutive guest clusters in all states. */
export interface TablePiece {
  readonly kind: 'entries';
  /** Offset of the first cluster on the disk, in bytes. */
  readonly guest: number;
  readonly count: number;
  /** Their entries in the L2 table of each state; the table of the first state comes first. */
  readonly tables: readonly PieceOfTable[];
}

interface PieceOfTable {
  /** Index of the first state with this table. */
  readonly state: number;
  /** Holds only these entries; valid until the next piece. */
  readonly view: DataView;
}

/** A guest range that a state maps in an unknown way, because a table is broken or cannot be read. */
export interface LostPiece {
  readonly kind: 'lost';
  /** In bytes. */
  readonly guest: number;
  readonly length: number;
  readonly state: number;
  /** Offset in the file of the first unknown entry of the L1 or L2 table. */
  readonly offset: number;
  /** The error of reading a table; undefined: the L1 entry is invalid. */
  readonly error: Qcow2cError | undefined;
}

interface WalkedImage {
  readonly clusterBits: number;
  readonly extendedL2: boolean;
}

/**
 * @param states at least one
 * @returns pieces in guest order; nothing where no state has an L2 table
 * @throws errors that do not concern a part of the file (`fileErrorOnly`); Qcow2cError ERR_ABORTED
 */
export async function* walkTables(
  file: Pick<Storage, 'name' | 'read'>,
  image: WalkedImage,
  states: readonly L1Table[],
  signal?: AbortSignal | undefined,
): AsyncGenerator<TablePiece | LostPiece> {
  const clusterSize = clusterSizeOf(image);
  const entryBytes = l2EntryBytes(image);
  const reach = clusterSize * (clusterSize / entryBytes);
  const l1Tables = new TableCache(file);
  const l2Tables = new TableCache(file);
  const together = entriesEach(states.length, TABLE_ENTRY_BYTES);
  const views = states.map(() => new DataView(new ArrayBuffer(together * TABLE_ENTRY_BYTES)));
  const most = states.reduce((largest, { l1Entries }) => Math.max(largest, l1Entries), 0);

  for (let first = 0; first < most; first += together) {
    const lostPieces: LostPiece[] = [];
    for (const [state, view] of views.entries()) {
      await yieldToEventLoop(signal);
      const { l1Offset, l1Entries } = states[state] as L1Table;
      const count = Math.max(0, Math.min(together, l1Entries - first));
      const offset = l1Offset + first * TABLE_ENTRY_BYTES;
      const lost = await readEntries(l1Tables, offset, TABLE_ENTRY_BYTES, count, view);
      if (lost === undefined) continue;
      const length = (count - lost.index) * reach;
      lostPieces.push({ kind: 'lost', guest: (first + lost.index) * reach, length, state, ...lossOf(lost) });
    }
    for (let index = 0; index < Math.min(together, most - first); index += 1) {
      await yieldToEventLoop(signal);
      const guest = (first + index) * reach;
      if (lostPieces.length > 0) yield* lostPieces.filter((lost) => lost.guest === guest);
      const found = new Map<number, number>();
      for (const [state, view] of views.entries()) {
        const table = l2TableOffset(view.getBigUint64(index * TABLE_ENTRY_BYTES), clusterSize);
        if (table === undefined) continue;
        if (table !== 'invalid') {
          if (!found.has(table)) found.set(table, state);
          continue;
        }
        const offset = (states[state] as L1Table).l1Offset + (first + index) * TABLE_ENTRY_BYTES;
        yield { kind: 'lost', guest, length: reach, state, offset, error: undefined };
      }
      if (found.size > 0) yield* walkSideBySide(l2Tables, found, guest, clusterSize, entryBytes);
    }
  }
}

/** @param found the offsets of L2 tables for the same guest clusters, each with its first state */
async function* walkSideBySide(
  tables: TableCache,
  found: ReadonlyMap<number, number>,
  guest: number,
  clusterSize: number,
  entryBytes: number,
): AsyncGenerator<TablePiece | LostPiece> {
  const l2Entries = clusterSize / entryBytes;
  const count = Math.min(entriesEach(found.size, entryBytes), l2Entries);
  const pieces = [...found].map(([offset, state]) => {
    return { offset, state, view: new DataView(new ArrayBuffer(count * entryBytes)) };
  });
  for (let first = 0; first < l2Entries; first += count) {
    const start = guest + first * clusterSize;
    const lostPieces: LostPiece[] = [];
    for (const { offset, state, view } of pieces) {
      const lost = await readEntries(tables, offset + first * entryBytes, entryBytes, count, view);
      if (lost === undefined) continue;
      const length = (count - lost.index) * clusterSize;
      const from = start + lost.index * clusterSize;
      lostPieces.push({ kind: 'lost', guest: from, length, state, ...lossOf(lost) });
    }
    yield { kind: 'entries', guest: start, count, tables: pieces };
    yield* lostPieces;
  }
}

/** @returns undefined for an L1 entry without an L2 table */
function l2TableOffset(raw: bigint, clusterSize: number): number | 'invalid' | undefined {
  if (raw === 0n) return undefined;
  try {
    const { l2TableOffset: offset } = decodeL1Entry(raw);
    return offset === undefined || offset % clusterSize === 0 ? offset : 'invalid';
  } catch (error) {
    if (error instanceof Qcow2cError && error.code === 'ERR_CORRUPT') return 'invalid';
    throw error;
  }
}

/**
 * @returns entries of each table that are read at once: a power of two, so that no piece of an L2 table crosses a
 *   boundary between pieces of the file
 */
function entriesEach(tables: number, entryBytes: number): number {
  const bytes = Math.min(LARGEST_PIECE_BYTES, MEMORY_BYTES / tables);
  return 2 ** Math.floor(Math.log2(Math.max(1, bytes / entryBytes)));
}

interface LostEntries {
  /** Index of the first entry. */
  readonly index: number;
  readonly offset: number;
  readonly error: Qcow2cError;
}

function lossOf({ offset, error }: LostEntries): Pick<LostPiece, 'offset' | 'error'> {
  return { offset, error };
}

/**
 * Reads entries into a view. If an entry cannot be read, it and all later ones are zeros. Zeros follow the last one.
 * @returns the first entry that could not be read
 */
async function readEntries(
  tables: TableCache,
  offset: number,
  entryBytes: number,
  count: number,
  into: DataView,
): Promise<LostEntries | undefined> {
  const bytes = new Uint8Array(into.buffer);
  bytes.fill(0);
  for (let index = 0; index < count; ) {
    const from = offset + index * entryBytes;
    try {
      const { view, at, count: there } = await tables.entriesFrom(from, entryBytes);
      const length = Math.min(count - index, there) * entryBytes;
      bytes.set(new Uint8Array(view.buffer, view.byteOffset + at, length), index * entryBytes);
      index += length / entryBytes;
    } catch (error) {
      return { index, offset: from, error: fileErrorOnly(error) };
    }
  }
  return undefined;
}
