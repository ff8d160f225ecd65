/** Sums the contents of an image's files by cell: header, tables, clusters and unused space. */
import { roundUp } from '../arithmetic.js';
import type { Qcow2ImageHeader } from '../image/image-header.js';
import type { HostFile, Layer } from '../image/source.js';
import { readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import { bitmapTableReader, nextBitmapTableEntry } from '../qcow2/bitmap-table.js';
import { clusterSizeOf, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { decodeL1Entry } from '../qcow2/l1-entry.js';
import type { Qcow2Layer } from '../qcow2/qcow2-layer.js';
import { refcountedClusters } from '../qcow2/refcounted-clusters.js';
import { snapshotEntries, snapshotTableReader } from '../qcow2/snapshot-entry.js';
import { TableBudget } from '../qcow2/table-budget.js';
import { TableCache } from '../qcow2/table-cache.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { Cells } from './cells.js';
import { type FileKind, USED_KINDS } from './file-kinds.js';
import { FileUses, windowsOf } from './file-uses.js';
import { addSnapshotUses } from './snapshot-uses.js';
import { type DiskKind, smallestCell } from './survey-disk.js';

/** A file and its contents. */
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
 * @param disk receives the bytes of the payloads
 * @throws Qcow2cError ERR_CORRUPT, ERR_UNSUPPORTED, ERR_IO
 */
export async function surveyQcow2Files(
  layer: Qcow2Layer,
  start: Qcow2ImageHeader,
  disk: Cells<DiskKind>,
): Promise<FileSurvey[]> {
  const { header, file, dataFile } = layer;
  const clusterSize = clusterSizeOf(header);
  const cells = new Cells<FileKind>(0, file.size, smallestCell(clusterSize));
  const { pieceSize, windowSize } = windowsOf(file.size, clusterSize);
  for (let from = 0; from < file.size; from += windowSize) {
    const uses = new FileUses(from, Math.min(from + windowSize, file.size), pieceSize);
    uses.add('header', 0, clusterSize);
    await addL1Table(uses, header, file);
    await addSnapshotTables(uses, header, file);
    await addBitmaps(uses, start);
    await addClusters(uses, layer, from === 0 ? disk : undefined);
    await addSnapshotUses(uses, header, file);
    await addRefcounts(uses, header, file);
    uses.addTo(cells);
  }
  await addHoles(cells, file);
  settle(cells);
  if (dataFile === undefined) return [{ name: file.name, cells }];
  return [
    { name: file.name, cells },
    { name: dataFile.name, cells: await surveyDataFile(layer, dataFile) },
  ];
}

/** An external data file has no refcounts, and nothing in it is compressed. */
async function surveyDataFile(layer: Qcow2Layer, dataFile: HostFile): Promise<Cells<FileKind>> {
  const cells = new Cells<FileKind>(0, dataFile.size, smallestCell(clusterSizeOf(layer.header)));
  for await (const { kind, host, length } of hostClusters(layer)) cells.add(kind, host, length);
  await addHoles(cells, dataFile);
  settle(cells);
  return cells;
}

/** The refcount table and its blocks; then clusters with a refcount but no known use. Must run last. */
async function addRefcounts(uses: FileUses, header: Header, file: HostFile): Promise<void> {
  const clusterSize = clusterSizeOf(header);
  uses.add('refcounts', header.refcountTableOffset, header.refcountTableClusters * clusterSize);
  for await (const { offset } of refcountedClusters(file, header)) uses.add('refcounts', offset, clusterSize);
  for await (const { first, count, isUsed } of refcountedClusters(file, header)) {
    for (let cluster = first; cluster < first + count; cluster += 1) {
      if (!isUsed(cluster)) continue;
      const start = cluster * clusterSize;
      uses.addToFree(uses.isFree(start, clusterSize) ? 'leaked' : 'slack', start, clusterSize);
    }
  }
}

async function addL1Table(uses: FileUses, header: Header, file: HostFile): Promise<void> {
  const { l1Offset, l1Entries } = header;
  const clusterSize = clusterSizeOf(header);
  uses.add('l1', l1Offset, roundUp(l1Entries * TABLE_ENTRY_BYTES, clusterSize));
  const table = new TableCache(file, 'zeros');
  for (let index = 0; index < l1Entries; ) {
    const entries = await table.entriesFrom(l1Offset + index * TABLE_ENTRY_BYTES, TABLE_ENTRY_BYTES);
    const end = Math.min(l1Entries, index + entries.count);
    for (let { at } = entries; index < end; index += 1, at += TABLE_ENTRY_BYTES) {
      const { l2TableOffset } = decodeL1Entry(entries.view.getBigUint64(at));
      if (l2TableOffset !== undefined) uses.add('l2', l2TableOffset, clusterSize);
    }
  }
}

async function addSnapshotTables(uses: FileUses, header: Header, file: HostFile): Promise<void> {
  if (header.snapshotCount === 0) return;
  const clusterSize = clusterSizeOf(header);
  const reader = snapshotTableReader(file, header);
  for await (const { l1Offset, l1Entries } of snapshotEntries(reader, header)) {
    uses.add('snapshots', Number(l1Offset), roundUp(l1Entries * TABLE_ENTRY_BYTES, clusterSize));
  }
  const { snapshotsOffset } = header;
  uses.add('snapshots', snapshotsOffset, roundUp(reader.offset - snapshotsOffset, clusterSize));
}

async function addBitmaps(uses: FileUses, { file, header, extensions }: Qcow2ImageHeader): Promise<void> {
  const { bitmaps } = extensions;
  if (bitmaps === undefined) return;
  const clusterSize = clusterSizeOf(header);
  uses.add('bitmaps', bitmaps.directoryOffset, roundUp(bitmaps.directorySize, clusterSize));
  const budget = new TableBudget(file, 'tables of bitmaps');
  for (const bitmap of await readBitmapDirectory(file, header, bitmaps)) {
    const { tableOffset, tableEntries } = bitmap;
    budget.take(tableOffset, tableEntries * TABLE_ENTRY_BYTES);
    uses.add('bitmaps', tableOffset, roundUp(tableEntries * TABLE_ENTRY_BYTES, clusterSize));
    const reader = bitmapTableReader(file, bitmap);
    for (let index = 0; index < tableEntries; index += 1) {
      const entry = await nextBitmapTableEntry(reader, clusterSize);
      if (entry.kind === 'data') uses.add('bitmaps', entry.offset, clusterSize);
    }
  }
}

/** @param disk receives the bytes of the payloads; optional */
async function addClusters(
  uses: FileUses,
  layer: Qcow2Layer,
  disk: Cells<DiskKind> | undefined,
): Promise<void> {
  const isExternal = layer.dataFile !== undefined;
  for await (const { kind, host, length, guest, guestLength } of hostClusters(layer)) {
    if (!isExternal || kind === 'compressed') uses.add(kind, host, length);
    if (kind === 'compressed') disk?.add('payload', guest, guestLength, length);
  }
}

/** Bytes of the file that store clusters of the disk. */
interface HostClusters {
  readonly kind: 'compressed' | 'data' | 'preallocated';
  readonly host: number;
  readonly length: number;
  /** Where they are on the disk. */
  readonly guest: number;
  readonly guestLength: number;
}

/** In the order of the disk. @throws Qcow2cError ERR_CORRUPT, ERR_UNSUPPORTED, ERR_IO */
async function* hostClusters(layer: Qcow2Layer): AsyncGenerator<HostClusters> {
  const lookup = layer.lookup({ pastEnd: 'zeros', compressed: 'each' });
  for (let guest = 0; guest < layer.size; ) {
    const pause = yieldToEventLoop(undefined);
    if (pause !== undefined) await pause;
    const found = await lookup.find(guest);
    const { length } = found;
    const place = { guest, guestLength: length };
    if (found.kind === 'unreadable') throw found.error;
    if (found.kind === 'compressed') {
      const [host = 0, storedLength = 0] = found.places;
      yield { ...place, kind: 'compressed', host, length: storedLength };
    } else if (found.host !== undefined) {
      yield { ...place, kind: found.kind === 'normal' ? 'data' : 'preallocated', host: found.host, length };
    }
    guest += length;
  }
}

async function addHoles(cells: Cells<FileKind>, file: Pick<Layer, 'size' | 'map'>): Promise<void> {
  for (let at = 0; at < file.size; ) {
    const { kind, length } = await file.map(at);
    if (kind === 'zero') cells.add('sparse', at, length);
    at += length;
  }
}

/** Divides pieces without a use into unused space and holes. */
function settle(cells: Cells<FileKind>): void {
  for (let cell = 0; cell < cells.count; cell += 1) {
    const used = USED_KINDS.reduce((sum, kind) => sum + cells.of(kind, cell), 0);
    const rest = Math.max(0, cells.bytesIn(cell) - used);
    const sparse = cells.of('sparse', cell);
    const hole = Math.min(sparse, rest);
    // More holes than free bytes: preallocated clusters are holes too.
    const unwritten = Math.min(sparse - hole, cells.of('data', cell));
    cells.addTo(cell, 'hole', hole);
    cells.addTo(cell, 'unused', rest - hole);
    cells.addTo(cell, 'data', -unwritten);
    cells.addTo(cell, 'preallocated', unwritten);
  }
}
