/**
 * Counts all references to host clusters of an image, in QEMU's order (calculate_refcounts): header, tables and
 * clusters of the present state and of the snapshots, snapshot table, refcount table, encryption header, bitmaps,
 * refcount blocks.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import { bitmapTableReader, nextBitmapTableEntry } from '../qcow2/bitmap-table.js';
import { HIGH_L1_RESERVED, LOW_L1_RESERVED, wholeEntry } from '../qcow2/entry-bits.js';
import { MAX_FILE_BYTES, MAX_L1_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import type { LuksHeaderPlace } from '../qcow2/header-extensions.js';
import { snapshotEntries, snapshotTableReader } from '../qcow2/snapshot-entry.js';
import { TableBudget } from '../qcow2/table-budget.js';
import { refuseAbort } from '../workers/pipeline.js';
import type { CheckedImage } from './checked-image.js';
import type { Finding } from './findings.js';
import { type ClusterStatistics, L2References } from './l2-references.js';
import { TableWalk } from './l2-windows.js';
import { refcountTableEntries } from './refcount-table.js';
import type { ReferenceCounters } from './reference-counters.js';

/** Host clusters of a range between two calls that report findings. */
const SLICE_CLUSTERS = 8192;

/** What the counting needs besides the image. */
interface CountingParts {
  readonly counters: ReferenceCounters;
  /** Receives findings in order; emptied by `flush`. */
  readonly findings: Finding[];
  readonly statistics: ClusterStatistics;
  readonly flush: () => Promise<void> | undefined;
  readonly signal: AbortSignal | undefined;
  /** @param share of the tables of the image and its snapshots that is done, 0 to 1 */
  readonly onShare: (share: number) => void;
}

/**
 * Fills the counters of their present window. Findings that concern no window are made in the first.
 * @throws Qcow2cError ERR_CORRUPT where QEMU gives up too; ERR_IO, ERR_ABORTED
 */
export async function countReferences(image: CheckedImage, parts: CountingParts): Promise<void> {
  const { header, geometry, luksHeader } = image;
  const { counters, findings } = parts;
  // Of the first cluster, only the header must be in the file, and it is.
  counters.add('header', 0, geometry.clusterSize, undefined, undefined, 0);
  const tables = new TableReferences(image, parts);
  const l1 = { offset: BigInt(header.l1Offset), entries: header.l1Entries };
  await tables.count(l1, parts.statistics, 0);
  await countSnapshots(image, parts, tables);
  counters.add(
    'refcount table',
    header.refcountTableOffset,
    header.refcountTableClusters * geometry.clusterSize,
  );
  if (luksHeader !== undefined) await countLuksHeader(image, parts, luksHeader);
  await countBitmaps(image, parts);
  await countRefcountBlocks(image, counters, findings, parts.flush);
  await parts.flush();
}

/** Counts the LUKS header and its keys, of any length, and reports findings on the way. */
async function countLuksHeader(
  { geometry }: CheckedImage,
  { counters, flush }: CountingParts,
  { offset, length }: LuksHeaderPlace,
): Promise<void> {
  if (counters.isPastEnd(offset, length)) return counters.add('LUKS header', offset, length);
  const step = SLICE_CLUSTERS * geometry.clusterSize;
  for (let done = 0; done < length; done += step) {
    counters.add('LUKS header', offset + done, Math.min(step, length - done));
    await flush();
  }
}

/** References of L1 tables and of their L2 tables. */
class TableReferences {
  readonly #image: CheckedImage;
  readonly #parts: CountingParts;
  readonly #l2: L2References;
  readonly #walk: TableWalk;
  readonly #l1Tables: TableBudget;

  constructor(image: CheckedImage, parts: CountingParts) {
    this.#image = image;
    this.#parts = parts;
    this.#l2 = new L2References(image, parts.counters, parts.findings);
    this.#walk = new TableWalk(image);
    this.#l1Tables = new TableBudget(image.file, 'L1 tables');
  }

  /**
   * @param l1 the table: offset in the file in bytes, and number of entries
   * @param statistics undefined for a snapshot's table
   * @param number of the table, from 0 on
   */
  async count(
    l1: { readonly offset: bigint; readonly entries: number },
    statistics: ClusterStatistics | undefined,
    number: number,
  ): Promise<void> {
    const { counters, findings, flush, signal, onShare } = this.#parts;
    if (l1.entries === 0) return;
    const offset = Number(l1.offset);
    counters.add('L1 table', offset, l1.entries * TABLE_ENTRY_BYTES, l1.offset);
    if (l1.offset + BigInt(l1.entries * TABLE_ENTRY_BYTES) > MAX_FILE_BYTES) {
      throw this.#givenUp(`an L1 table at offset ${l1.offset}`);
    }
    // Past the end of the file there are only zeros.
    if (offset >= counters.fileSize) return flush();
    this.#l1Tables.take(offset, l1.entries * TABLE_ENTRY_BYTES);
    const l2Tables = new TableBudget(this.#image.file, 'L2 tables of one L1 table');
    const { clusterSize, l2Entries } = this.#image.geometry;
    let firstGuestCluster = 0;
    const tables = this.#image.header.snapshotCount + 1;
    await this.#walk.walk(
      { offset, entries: l1.entries },
      {
        l1Entry: ({ index, at, high, low, l2Offset }) => {
          firstGuestCluster = index * l2Entries;
          const reserved = (high & HIGH_L1_RESERVED) !== 0 || (low & LOW_L1_RESERVED) !== 0;
          if (reserved && counters.isFirst) {
            findings.push({ kind: 'l1-reserved-bits', at, entry: wholeEntry(high, low) });
          }
          // An entry with only flags names no table; QEMU counts the header for it.
          if (l2Offset === 0) counters.add('header', 0, clusterSize, undefined, undefined, 0);
          else counters.add('L2 table', l2Offset, clusterSize);
          if (l2Offset % clusterSize !== 0 && counters.isFirst) {
            findings.push({ kind: 'l2-table-unaligned', at, entry: wholeEntry(high, low) });
          }
          l2Tables.take(l2Offset, clusterSize);
          return true;
        },
        l2Entries: (view, tableOffset, from, to) => {
          this.#l2.count(view, tableOffset, from, to, statistics, firstGuestCluster);
        },
        flush,
      },
      signal,
      (done) => onShare((number + done / l1.entries) / tables),
    );
  }

  #givenUp(what: string): Qcow2cError {
    const { name: file } = this.#image.file;
    return new Qcow2cError('ERR_CORRUPT', `Check failed: ${quoted(file)} has ${what}`, { file });
  }
}

/** The snapshots' tables, and the snapshot table. */
async function countSnapshots(
  image: CheckedImage,
  parts: CountingParts,
  tables: TableReferences,
): Promise<void> {
  const { header, geometry, hasDataFile, file } = image;
  const { counters, findings, flush } = parts;
  const { snapshotCount: count } = header;
  if (count === 0) return;
  const report = (finding: Finding) => {
    if (counters.isFirst) findings.push(finding);
    return flush();
  };
  if (hasDataFile) await report({ kind: 'snapshots-with-data-file', count });
  const reader = snapshotTableReader(file, header);
  let index = 0;
  let end = 0;
  for await (const { offset, length, id, name, l1Offset, l1Entries } of snapshotEntries(reader, header)) {
    const place = { index, id, name };
    if (l1Offset % BigInt(geometry.clusterSize) !== 0n) {
      await report({ kind: 'snapshot-l1-unaligned', ...place, l1Offset });
    } else if (l1Entries > MAX_L1_BYTES / TABLE_ENTRY_BYTES) {
      await report({ kind: 'snapshot-l1-too-large', ...place, l1Entries });
    } else {
      await tables.count({ offset: l1Offset, entries: l1Entries }, undefined, index + 1);
    }
    index += 1;
    end = offset + length;
  }
  counters.add('snapshot table', header.snapshotsOffset, end - header.snapshotsOffset);
}

/** Directory, tables and bits. Errors that make QEMU refuse the image or give up end the check here too. */
async function countBitmaps(image: CheckedImage, { counters, flush, signal }: CountingParts): Promise<void> {
  const { file, header, extensions, geometry } = image;
  const tables = new TableBudget(file, 'tables of bitmaps');
  if (extensions.bitmaps === undefined) return;
  const { directoryOffset, directorySize } = extensions.bitmaps;
  counters.add('bitmap directory', directoryOffset, directorySize);
  // QEMU reads zeros for missing bytes, finds no bitmap in them, and gives up the check.
  if (directoryOffset + directorySize > counters.fileEnd) return flush();
  for (const bitmap of await readBitmapDirectory(file, header, extensions.bitmaps)) {
    const { tableOffset, tableEntries } = bitmap;
    const length = tableEntries * TABLE_ENTRY_BYTES;
    counters.add('bitmap table', tableOffset, length);
    tables.take(tableOffset, length);
    refuseAbort(signal);
    const reader = bitmapTableReader(file, bitmap);
    for (let index = 0; index < tableEntries; index += 1) {
      const entry = await nextBitmapTableEntry(reader, geometry.clusterSize);
      if (entry.kind === 'data') counters.add('bitmap cluster', entry.offset, geometry.clusterSize);
      const flushed = flush();
      if (flushed !== undefined) await flushed;
    }
  }
}

/** The refcount blocks; each must have no other reference (check_refblocks in QEMU). */
async function countRefcountBlocks(
  image: CheckedImage,
  counters: ReferenceCounters,
  findings: Finding[],
  flush: CountingParts['flush'],
): Promise<void> {
  const { clusterSize } = image.geometry;
  for await (const { index, at, entry, offset, hasReservedBits } of refcountTableEntries(image)) {
    const isUnaligned = offset % BigInt(clusterSize) !== 0n;
    const cluster = Number(offset / BigInt(clusterSize));
    if (hasReservedBits || isUnaligned || cluster >= counters.clusters) {
      const kind = hasReservedBits
        ? 'refcount-table-reserved-bits'
        : isUnaligned
          ? 'refcount-block-unaligned'
          : 'refcount-block-outside';
      if (counters.isFirst) findings.push({ kind, index, at, entry });
    } else if (offset !== 0n) {
      counters.add('refcount block', Number(offset), clusterSize);
      const references = counters.of(cluster);
      if (references !== undefined && references !== 1) {
        findings.push({ kind: 'refcount-block-shared', index, references });
      }
    }
    const flushed = flush();
    if (flushed !== undefined) await flushed;
  }
}
