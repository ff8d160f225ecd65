/** Finds the parts of a file that only internal snapshots use: their tables and their clusters. */
import { Qcow2cError } from '../errors.js';
import { type ImageState, imageStates } from '../examine/image-states.js';
import type { HostFile } from '../image/source.js';
import { clusterSizeOf, geometryOf, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { decodeL1Entry } from '../qcow2/l1-entry.js';
import { decodeL2Entry, type L2Entry } from '../qcow2/l2-entry.js';
import { TableCache } from '../qcow2/table-cache.js';
import { walkTables } from '../qcow2/table-walk.js';
import type { FileUses } from './file-uses.js';

/**
 * @param uses already has the uses of the disk
 * @throws Qcow2cError ERR_CORRUPT for an invalid snapshot table; ERR_IO
 */
export async function addSnapshotUses(uses: FileUses, header: Header, file: HostFile): Promise<void> {
  if (header.snapshotCount === 0) return;
  const states = await imageStates(file, header, true);
  for (const state of states.slice(1)) await addL2Tables(uses, state, header, file);
  await addClusters(uses, states, header, file);
}

async function addL2Tables(
  uses: FileUses,
  { l1Offset, l1Entries }: ImageState,
  header: Header,
  file: HostFile,
): Promise<void> {
  const table = new TableCache(file, 'zeros');
  for (let index = 0; index < l1Entries; ) {
    const { view, at, count } = await table.entriesFrom(
      l1Offset + index * TABLE_ENTRY_BYTES,
      TABLE_ENTRY_BYTES,
    );
    const end = Math.min(l1Entries, index + count);
    for (let entry = at; index < end; index += 1, entry += TABLE_ENTRY_BYTES) {
      const offset = ifSound(() => decodeL1Entry(view.getBigUint64(entry)))?.l2TableOffset;
      if (offset !== undefined) uses.addToFree('snapshots', offset, clusterSizeOf(header));
    }
  }
}

/** Clusters and tables that several snapshots, or a snapshot and the disk, share are visited once. */
async function addClusters(
  uses: FileUses,
  states: readonly ImageState[],
  header: Header,
  file: HostFile,
): Promise<void> {
  const geometry = geometryOf(header);
  const { clusterBits, clusterSize, l2EntryBytes } = geometry;
  for await (const piece of walkTables(file, geometry, states)) {
    if (piece.kind === 'lost') continue;
    for (const { state, view } of piece.tables) {
      // Also used by the disk.
      if (state === 0) continue;
      for (let index = 0; index < piece.count; index += 1) {
        const entry = ifSound(() => decodeL2Entry(view.getBigUint64(index * l2EntryBytes), clusterBits));
        if (entry !== undefined) addCluster(uses, entry, clusterSize);
      }
    }
  }
}

function addCluster(uses: FileUses, entry: L2Entry, clusterSize: number): void {
  if (entry.kind === 'compressed') uses.addToFree('snapshotData', entry.offset, entry.storedLength);
  else if (entry.kind !== 'unallocated' && entry.offset !== undefined) {
    uses.addToFree('snapshotData', entry.offset, clusterSize);
  }
}

/** A corrupt entry points outside the file. */
function ifSound<Entry>(decode: () => Entry): Entry | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof Qcow2cError && error.code === 'ERR_CORRUPT') return undefined;
    throw error;
  }
}
