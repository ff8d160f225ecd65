/** What an image's files hold, cell by cell: header, tables, clusters, and what nobody uses. */
import type { HostFile, Layer } from '../image/source.js';
import type { Qcow2Start } from '../open/image-start.js';
import { readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import { bitmapTableReader, nextBitmapTableEntry } from '../qcow2/bitmap-table.js';
import { TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { decodeL1Entry } from '../qcow2/l1-entry.js';
import type { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import { refcountedClusters } from '../qcow2/refcounted-clusters.js';
import { snapshotEntries, snapshotTableReader } from '../qcow2/snapshot-entry.js';
import { TableBudget } from '../qcow2/table-budget.js';
import { TableCache } from '../qcow2/table-cache.js';
import { roundUp } from '../storage/aligned-memory.js';
import { giveTurn } from '../storage/turns.js';
import { Cells } from './cells.js';
import { type DiskKind, smallestCell } from './survey-disk.js';

/** What is known of bytes of a file. */
export type FileKind =
  | 'header'
  | 'l1'
  | 'l2'
  | 'refcounts'
  | 'snapshots'
  | 'bitmaps'
  | 'compressed'
  | 'data'
  /** A cluster's place, with nothing written there. */
  | 'preallocated'
  /** In use by its refcount for none of these: what only snapshots have, or nobody any more. */
  | 'other'
  | 'unused'
  /** Likewise, and without a place on the host's disk. */
  | 'hole'
  /** In use by its refcount; any hole. Only to work out the others. */
  | 'refcounted'
  | 'sparse';

/** Kinds that the tables tell of; no two of them have the same bytes in a sound image. */
const FROM_TABLES: readonly FileKind[] = [
  ...(['header', 'l1', 'l2', 'refcounts', 'snapshots', 'bitmaps'] as const),
  ...(['compressed', 'data', 'preallocated'] as const),
];

/** A file and what it holds. */
export interface FileSurvey {
  readonly name: string;
  readonly cells: Cells<FileKind>;
}

/** The file of a raw image. @throws Qcow2cError ERR_IO */
export async function surveyRawFile(file: Layer): Promise<FileSurvey> {
  const cells = new Cells<FileKind>(0, file.size, smallestCell());
  await addHoles(cells, file);
  for (let cell = 0; cell < cells.count; cell += 1) {
    const hole = cells.of('sparse', cell);
    cells.addTo(cell, 'hole', hole);
    cells.addTo(cell, 'data', cells.bytesIn(cell) - hole);
  }
  return { name: file.name, cells };
}

/**
 * The file of a qcow2 image, and its external data file if it has one.
 * @param disk gets what the compressed clusters take
 * @throws Qcow2cError ERR_CORRUPT, ERR_UNSUPPORTED, ERR_IO
 */
export async function surveyQcow2Files(
  layer: Qcow2Layer,
  start: Qcow2Start,
  disk: Cells<DiskKind>,
): Promise<FileSurvey[]> {
  const { header, file, dataFile } = layer;
  const clusterSize = 2 ** header.clusterBits;
  const cells = new Cells<FileKind>(0, file.size, smallestCell(clusterSize));
  const dataCells = dataFile && new Cells<FileKind>(0, dataFile.size, smallestCell(clusterSize));
  cells.add('header', 0, clusterSize);
  await addRefcounts(cells, header, file);
  await addL1Table(cells, header, file);
  await addSnapshots(cells, header, file);
  await addBitmaps(cells, start);
  await addClusters(cells, dataCells ?? cells, disk, layer);
  await addHoles(cells, file);
  settle(cells);
  if (dataFile === undefined || dataCells === undefined) return [{ name: file.name, cells }];
  await addHoles(dataCells, dataFile);
  settle(dataCells);
  return [
    { name: file.name, cells },
    { name: dataFile.name, cells: dataCells },
  ];
}

async function addRefcounts(cells: Cells<FileKind>, header: Header, file: HostFile): Promise<void> {
  const clusterSize = 2 ** header.clusterBits;
  cells.add('refcounts', header.refcountTableOffset, header.refcountTableClusters * clusterSize);
  for await (const { offset, first, count, isUsed } of refcountedClusters(file, header)) {
    cells.add('refcounts', offset, clusterSize);
    for (let cluster = first; cluster < first + count; cluster += 1) {
      if (isUsed(cluster)) cells.add('refcounted', cluster * clusterSize, clusterSize);
    }
  }
}

async function addL1Table(cells: Cells<FileKind>, header: Header, file: HostFile): Promise<void> {
  const { l1Offset, l1Entries, clusterBits } = header;
  const clusterSize = 2 ** clusterBits;
  cells.add('l1', l1Offset, roundUp(l1Entries * TABLE_ENTRY_BYTES, clusterSize));
  const table = new TableCache(file, 'zeros');
  for (let index = 0; index < l1Entries; ) {
    const entries = await table.entriesFrom(l1Offset + index * TABLE_ENTRY_BYTES, TABLE_ENTRY_BYTES);
    const end = Math.min(l1Entries, index + entries.count);
    for (let { at } = entries; index < end; index += 1, at += TABLE_ENTRY_BYTES) {
      const { l2TableOffset } = decodeL1Entry(entries.view.getBigUint64(at));
      if (l2TableOffset !== undefined) cells.add('l2', l2TableOffset, clusterSize);
    }
  }
}

async function addSnapshots(cells: Cells<FileKind>, header: Header, file: HostFile): Promise<void> {
  if (header.snapshotCount === 0) return;
  const clusterSize = 2 ** header.clusterBits;
  const reader = snapshotTableReader(file, header);
  for await (const { l1Offset, l1Entries } of snapshotEntries(reader, header)) {
    cells.add('snapshots', Number(l1Offset), roundUp(l1Entries * TABLE_ENTRY_BYTES, clusterSize));
  }
  const { snapshotsOffset } = header;
  cells.add('snapshots', snapshotsOffset, roundUp(reader.offset - snapshotsOffset, clusterSize));
}

async function addBitmaps(cells: Cells<FileKind>, { file, header, extensions }: Qcow2Start): Promise<void> {
  const { bitmaps } = extensions;
  if (bitmaps === undefined) return;
  const clusterSize = 2 ** header.clusterBits;
  cells.add('bitmaps', bitmaps.directoryOffset, roundUp(bitmaps.directorySize, clusterSize));
  const budget = new TableBudget(file, 'tables of bitmaps');
  for (const bitmap of await readBitmapDirectory(file, header, bitmaps)) {
    const { tableOffset, tableEntries } = bitmap;
    budget.take(tableOffset, tableEntries * TABLE_ENTRY_BYTES);
    cells.add('bitmaps', tableOffset, roundUp(tableEntries * TABLE_ENTRY_BYTES, clusterSize));
    const reader = bitmapTableReader(file, bitmap);
    for (let index = 0; index < tableEntries; index += 1) {
      const entry = await nextBitmapTableEntry(reader, clusterSize);
      if (entry.kind === 'data') cells.add('bitmaps', entry.offset, clusterSize);
    }
  }
}

/** @param dataCells of the file that clusters are in when they are not compressed */
async function addClusters(
  cells: Cells<FileKind>,
  dataCells: Cells<FileKind>,
  disk: Cells<DiskKind>,
  layer: Qcow2Layer,
): Promise<void> {
  const lookup = layer.lookup({ pastEnd: 'zeros', compressed: 'each' });
  for (let at = 0; at < layer.size; ) {
    const turn = giveTurn(undefined);
    if (turn !== undefined) await turn;
    const found = await lookup.find(at);
    const { length } = found;
    if (found.kind === 'unreadable') throw found.error;
    if (found.kind === 'compressed') {
      cells.add('compressed', found.offset, found.storedLength);
      disk.add('payload', at, length, found.storedLength);
    } else if (found.host !== undefined) {
      dataCells.add(found.kind === 'normal' ? 'data' : 'preallocated', found.host, length);
    }
    at += length;
  }
}

async function addHoles(cells: Cells<FileKind>, file: Pick<Layer, 'size' | 'map'>): Promise<void> {
  for (let at = 0; at < file.size; ) {
    const { kind, length } = await file.map(at);
    if (kind === 'zero') cells.add('sparse', at, length);
    at += length;
  }
}

/** Divides what no table tells of into what somebody must be using, what nobody does, and holes. */
function settle(cells: Cells<FileKind>): void {
  for (let cell = 0; cell < cells.count; cell += 1) {
    const bytes = cells.bytesIn(cell);
    const known = FROM_TABLES.reduce((sum, kind) => sum + cells.of(kind, cell), 0);
    const other = Math.max(0, Math.min(cells.of('refcounted', cell), bytes) - known);
    const rest = Math.max(0, bytes - known - other);
    const sparse = cells.of('sparse', cell);
    const hole = Math.min(sparse, rest);
    // More holes than free bytes: clusters have places where nothing was written.
    const unwritten = Math.min(sparse - hole, cells.of('data', cell));
    cells.addTo(cell, 'other', other);
    cells.addTo(cell, 'hole', hole);
    cells.addTo(cell, 'unused', rest - hole);
    cells.addTo(cell, 'data', -unwritten);
    cells.addTo(cell, 'preallocated', unwritten);
  }
}
