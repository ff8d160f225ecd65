/**
 * Finds guest clusters in an image: L1 entry, L2 entry, host cluster. Every offset found on the way is checked
 * before it is used, and what a broken entry covers is unreadable, no more. Specification: "Cluster mapping".
 */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, quoted } from '../errors.js';
import type { HostFile, LayerRange } from '../image/source.js';
import { TABLE_ENTRY_BYTES } from './geometry.js';
import { decodeL1Entry } from './l1-entry.js';
import { type L2Format, type L2Run, l2Run, unitsOf } from './l2-run.js';
import { entriesTogether, TableCache, type TableEntries } from './table-cache.js';

/** What the map needs to know of the image. Sizes and offsets in bytes. */
export interface MappedImage extends Omit<L2Format, 'external'> {
  readonly virtualSize: number;
  /** Of the active L1 table, or a snapshot's. */
  readonly l1Offset: number;
  readonly l1Entries: number;
  readonly compressionType: CompressionType;
}

/** The first L1 entry that is not empty: an L2 table, or why it is not known where that and some more are. */
type FoundTable =
  | { readonly index: number; readonly offset: number }
  | { readonly index: number; readonly count: number; readonly error: Qcow2cError };

export class ClusterMap {
  readonly #image: MappedImage;
  readonly #format: L2Format;
  readonly #file: HostFile;
  readonly #data: HostFile;
  readonly #tables: TableCache;
  readonly #clusterSize: number;
  readonly #entryBytes: number;
  readonly #l2Entries: number;
  /** Bytes of a cluster, or of a subcluster where there are any. */
  readonly #unitSize: number;

  /**
   * @param file the image itself
   * @param dataFile the external data file; undefined: the image holds its clusters
   */
  constructor(image: MappedImage, file: HostFile, dataFile: HostFile | undefined) {
    this.#image = image;
    this.#format = { ...image, external: dataFile !== undefined };
    this.#file = file;
    this.#data = dataFile ?? file;
    this.#tables = new TableCache(file);
    this.#clusterSize = 2 ** image.clusterBits;
    this.#entryBytes = image.extendedL2 ? 2 * TABLE_ENTRY_BYTES : TABLE_ENTRY_BYTES;
    this.#l2Entries = this.#clusterSize / this.#entryBytes;
    this.#unitSize = this.#clusterSize / unitsOf(image);
  }

  /**
   * @param guest bytes, below the virtual size
   * @returns what lies there, at most up to where another table, cluster or piece of a table begins
   */
  async map(guest: number): Promise<LayerRange> {
    const untilEnd = this.#image.virtualSize - guest;
    const reach = this.#clusterSize * this.#l2Entries;
    const found = await this.#nextTable(Math.floor(guest / reach));
    if (found === undefined) return { kind: 'unallocated', length: untilEnd };
    const start = found.index * reach;
    // What lies before is unallocated as a whole; this table's turn comes with the next question.
    if (start > guest) return { kind: 'unallocated', length: start - guest };
    if ('offset' in found) return this.#mapInTable(guest, start, found.offset);
    const length = Math.min(untilEnd, start + found.count * reach - guest);
    return { kind: 'unreadable', length, error: found.error };
  }

  /** @param from index of the first entry looked at @returns undefined when only empty ones are left */
  async #nextTable(from: number): Promise<FoundTable | undefined> {
    const { virtualSize, l1Offset, l1Entries } = this.#image;
    const needed = Math.min(l1Entries, Math.ceil(virtualSize / (this.#clusterSize * this.#l2Entries)));
    for (let index = from; index < needed; ) {
      const offset = l1Offset + index * TABLE_ENTRY_BYTES;
      let entries: TableEntries;
      try {
        entries = await this.#tables.entriesFrom(offset, TABLE_ENTRY_BYTES);
      } catch (error) {
        const count = Math.min(needed - index, entriesTogether(offset, TABLE_ENTRY_BYTES));
        return { index, count, error: fileErrorOnly(error) };
      }
      const end = Math.min(needed, index + entries.count);
      for (let { at } = entries; index < end; index += 1, at += TABLE_ENTRY_BYTES) {
        const raw = entries.view.getBigUint64(at);
        const table = raw === 0n ? undefined : this.#l2Table(raw, index);
        if (table !== undefined) return table;
      }
    }
    return undefined;
  }

  /** @returns undefined when the entry has no L2 table */
  #l2Table(raw: bigint, index: number): FoundTable | undefined {
    const guest = index * this.#clusterSize * this.#l2Entries;
    const broken = (reason: string) => ({ index, count: 1, error: this.#broken(guest, reason) });
    let offset: number | undefined;
    try {
      offset = decodeL1Entry(raw).l2TableOffset;
    } catch (error) {
      return broken(fileErrorOnly(error).message);
    }
    if (offset === undefined) return undefined;
    if (offset % this.#clusterSize !== 0) return broken(`its L2 table has the unaligned offset ${offset}`);
    return { index, offset };
  }

  /** @param start guest offset of the table's first cluster @param table its offset in the file */
  async #mapInTable(guest: number, start: number, table: number): Promise<LayerRange> {
    const untilEnd = this.#image.virtualSize - guest;
    const first = Math.floor((guest - start) / this.#clusterSize);
    const inCluster = (guest - start) % this.#clusterSize;
    const offset = table + first * this.#entryBytes;
    let entries: TableEntries;
    try {
      entries = await this.#tables.entriesFrom(offset, this.#entryBytes);
    } catch (error) {
      const count = Math.min(entriesTogether(offset, this.#entryBytes), this.#l2Entries - first);
      const length = Math.min(untilEnd, count * this.#clusterSize - inCluster);
      return { kind: 'unreadable', length, error: fileErrorOnly(error) };
    }
    const count = Math.min(entries.count, this.#l2Entries - first);
    const run = this.#runOf({ ...entries, count }, Math.floor(inCluster / this.#unitSize), guest - inCluster);
    const inUnit = inCluster % this.#unitSize;
    const length = Math.min(untilEnd, run.units * this.#unitSize - inUnit);
    switch (run.kind) {
      case 'normal':
        return this.#stored(guest, run.host + inUnit, length);
      case 'compressed':
        return this.#compressed(run, inCluster, length);
      case 'broken':
        return { kind: 'unreadable', length, error: this.#broken(guest, run.reason) };
      default:
        return { kind: run.kind, length };
    }
  }

  /**
   * What the first entry says from its unit `from` on, together with the entries behind it that continue it.
   * @param guest offset of the first cluster
   */
  #runOf({ view, at, count }: TableEntries, from: number, guest: number): L2Run {
    const unitsPerCluster = unitsOf(this.#format);
    const run = l2Run(this.#format, view, at, from, guest);
    if (run.kind === 'compressed' || run.kind === 'broken') return run;
    let { units } = run;
    for (let index = 1; index < count && from + units === index * unitsPerCluster; index += 1) {
      const entryAt = at + index * this.#entryBytes;
      const next = l2Run(this.#format, view, entryAt, 0, guest + index * this.#clusterSize);
      if (next.kind !== run.kind) break;
      if (next.kind === 'normal' && run.kind === 'normal') {
        if (next.host !== run.host + units * this.#unitSize) break;
      }
      units += next.units;
    }
    return { ...run, units };
  }

  #compressed(
    { offset, storedLength }: L2Run & { readonly kind: 'compressed' },
    skip: number,
    length: number,
  ): LayerRange {
    const descriptor = this.#file.descriptor;
    const { compressionType: type } = this.#image;
    const payload = { type, descriptor, offset, storedLength, clusterSize: this.#clusterSize };
    return { kind: 'compressed', length, payload, skip };
  }

  /**
   * Bytes stored as they are: what the file has there. A cluster that the file ends in reads as zeros from
   * there on; one that begins behind its end has been cut off.
   */
  async #stored(guest: number, host: number, length: number): Promise<LayerRange> {
    const data = this.#data;
    const inCluster = host % this.#clusterSize;
    if (host < data.size) {
      try {
        const range = await data.map(host);
        return { ...range, length: Math.min(range.length, length) };
      } catch (error) {
        const clusterLeft = Math.min(length, this.#clusterSize - inCluster);
        return { kind: 'unreadable', length: clusterLeft, error: fileErrorOnly(error) };
      }
    }
    if (host - inCluster < data.size) {
      return { kind: 'zero', length: Math.min(length, this.#clusterSize - inCluster) };
    }
    const reason = `its data lies at offset ${host}, past the end of ${quoted(data.name)}`;
    return { kind: 'unreadable', length, error: this.#broken(guest, reason) };
  }

  #broken(guest: number, reason: string): Qcow2cError {
    const file = this.#file.name;
    return new Qcow2cError('ERR_CORRUPT', `${quoted(file)} is broken at guest offset ${guest}: ${reason}`, {
      file,
      offset: guest,
    });
  }
}

/** What cannot be read makes its clusters unreadable, whatever the reason; a defect of ours does not. */
function fileErrorOnly(error: unknown): Qcow2cError {
  if (error instanceof Qcow2cError && (error.code === 'ERR_CORRUPT' || error.code === 'ERR_IO')) return error;
  throw error;
}
