/**
 * Finds guest clusters in the tables of an image: L1 entry, L2 entry, offset in the file. Every offset is checked
 * before it is used. A broken entry makes only its own guest clusters unreadable. The clusters themselves are not
 * read. Specification: "Cluster mapping".
 */
import { atGuestOffset, isFileLost, Qcow2cError, quoted } from '../errors.js';
import type { HostFile } from '../image/source.js';
import { clusterSizeOf, l2EntryBytes, TABLE_ENTRY_BYTES } from './geometry.js';
import { decodeL1Entry } from './l1-entry.js';
import { type L2Format, type L2Run, l2Run, unitSizeOf, unitsOf } from './l2-run.js';
import { entriesTogether, type PastEndRule, TableCache, type TableEntries } from './table-cache.js';

/** Format and start of the tables. Sizes and offsets in bytes. */
export interface ImageTables extends L2Format {
  readonly virtualSize: number;
  /** Of the active L1 table, or of a snapshot's. */
  readonly l1Offset: number;
  readonly l1Entries: number;
}

/** Choices of the caller. */
export interface LookupSettings {
  /** How tables past the end of the file are handled. */
  readonly pastEnd: PastEndRule;
  /** Whether the host clusters allocated for clusters without data are reported. */
  readonly keptPlaces: boolean;
  /** Whether compressed clusters are reported one by one, or together with those that follow. */
  readonly compressed: 'each' | 'together';
}

/** The mapping of the guest bytes from the requested offset on. Lengths and offsets in bytes. */
export type FoundClusters = {
  readonly length: number;
} /** `host`: offset of the space allocated for the range, if any; only with `keptPlaces`. */ & (
  | { readonly kind: 'unallocated' | 'zero'; readonly host: number | undefined }
  /** `host`: offset of the first byte; the others follow it. */
  | { readonly kind: 'normal'; readonly host: number }
  | {
      readonly kind: 'compressed';
      /** For each cluster of the range the offset of its payload, and an upper bound for the payload's length. */
      readonly places: readonly number[];
      /** Bytes of the first inflated cluster that lie before the requested offset. */
      readonly skip: number;
    }
  | { readonly kind: 'unreadable'; readonly error: Qcow2cError }
);

/** The first L1 entry that is not empty: an L2 table, or the reason why its offset is unknown. */
type FoundTable =
  | { readonly index: number; readonly offset: number }
  | { readonly index: number; readonly count: number; readonly error: Qcow2cError };

type CompressedRun = L2Run & { readonly kind: 'compressed' };

/**
 * The most payloads of one answer. A map that is asked for one cluster decodes this many entries, and for work items of
 * 2 MiB it is asked once for several.
 */
const MOST_PAYLOADS = 256;

export class ClusterLookup {
  readonly #image: ImageTables;
  readonly #name: string;
  readonly #tables: TableCache;
  readonly #settings: LookupSettings;
  readonly #clusterSize: number;
  readonly #entryBytes: number;
  readonly #l2Entries: number;
  /** Bytes of a cluster, or of a subcluster if the image has them. */
  readonly #unitSize: number;

  /** @param file the image */
  constructor(image: ImageTables, file: Pick<HostFile, 'name' | 'read'>, settings: LookupSettings) {
    this.#image = image;
    this.#name = file.name;
    this.#tables = new TableCache(file, settings.pastEnd);
    this.#settings = settings;
    this.#clusterSize = clusterSizeOf(image);
    this.#entryBytes = l2EntryBytes(image);
    this.#l2Entries = this.#clusterSize / this.#entryBytes;
    this.#unitSize = unitSizeOf(image);
  }

  /**
   * @param guest bytes, below the virtual size
   * @returns the mapping from there on, at most up to the next table, cluster or piece of a table
   */
  async find(guest: number): Promise<FoundClusters> {
    const untilEnd = this.#image.virtualSize - guest;
    const reach = this.#clusterSize * this.#l2Entries;
    const found = await this.#nextTable(Math.floor(guest / reach));
    if (found === undefined) return { kind: 'unallocated', length: untilEnd, host: undefined };
    const start = found.index * reach;
    // The range before the table is unallocated. The next call finds this table.
    if (start > guest) return { kind: 'unallocated', length: start - guest, host: undefined };
    if ('offset' in found) return this.#findInTable(guest, start, found.offset);
    const length = Math.min(untilEnd, start + found.count * reach - guest);
    return { kind: 'unreadable', length, error: found.error };
  }

  /**
   * Makes the error of an entry that cannot be interpreted.
   * @param reason a clause about the cluster
   * @param offset of the entry in the file, if known
   */
  broken(guest: number, reason: string, offset?: number): Qcow2cError {
    return brokenAt(this.#name, guest, reason, offset);
  }

  /** @param from index of the first entry to examine @returns undefined when the rest are empty */
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
        const guest = index * this.#clusterSize * this.#l2Entries;
        return { index, count, error: atGuestOffset(fileErrorOnly(error), guest) };
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
    const entryOffset = this.#image.l1Offset + index * TABLE_ENTRY_BYTES;
    const broken = (reason: string) => ({ index, count: 1, error: this.broken(guest, reason, entryOffset) });
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

  /** @param start guest offset of the table's first cluster @param table offset of the table in the file */
  async #findInTable(guest: number, start: number, table: number): Promise<FoundClusters> {
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
      return { kind: 'unreadable', length, error: atGuestOffset(fileErrorOnly(error), guest) };
    }
    const inTable = { ...entries, count: Math.min(entries.count, this.#l2Entries - first) };
    const run = this.#runOf(inTable, Math.floor(inCluster / this.#unitSize), guest - inCluster);
    if (run.kind === 'compressed') {
      const places = this.#placesFrom(run, inTable, guest - inCluster);
      const bytes = (places.length / 2) * this.#clusterSize - inCluster;
      return { kind: 'compressed', length: Math.min(untilEnd, bytes), places, skip: inCluster };
    }
    const inUnit = inCluster % this.#unitSize;
    const length = Math.min(untilEnd, run.units * this.#unitSize - inUnit);
    switch (run.kind) {
      case 'normal':
        return { kind: 'normal', length, host: run.host + inUnit };
      case 'broken':
        return { kind: 'unreadable', length, error: this.broken(guest, run.reason, offset) };
      default:
        return {
          kind: run.kind,
          length,
          host: this.#settings.keptPlaces ? after(run.host, inUnit) : undefined,
        };
    }
  }

  /**
   * Decodes the first entry from its unit `from` on, together with the following entries that continue it.
   * @param guest offset of the first cluster
   */
  #runOf({ view, at, count }: TableEntries, from: number, guest: number): L2Run {
    const unitsPerCluster = unitsOf(this.#image);
    const run = l2Run(this.#image, view, at, from, guest);
    let units = Math.max(run.units, this.#alike(run, view, at, count));
    for (
      let index = Math.max(1, Math.floor(units / unitsPerCluster));
      index < count && from + units === index * unitsPerCluster;
      index += 1
    ) {
      const entryAt = at + index * this.#entryBytes;
      const next = l2Run(this.#image, view, entryAt, 0, guest + index * this.#clusterSize);
      if (!this.#continues(run, next, units)) break;
      units += next.units;
    }
    return { ...run, units };
  }

  /**
   * @param first the compressed cluster of the first entry
   * @param guest offset of that cluster
   * @returns the places of its payload and, together, of those of the compressed clusters that follow
   */
  #placesFrom(first: CompressedRun, { view, at, count }: TableEntries, guest: number): number[] {
    const places = [first.offset, first.storedLength];
    const end = this.#settings.compressed === 'each' ? 1 : Math.min(count, MOST_PAYLOADS);
    for (let index = 1; index < end; index += 1) {
      const entryAt = at + index * this.#entryBytes;
      const next = l2Run(this.#image, view, entryAt, 0, guest + index * this.#clusterSize);
      if (next.kind !== 'compressed') break;
      places.push(next.offset, next.storedLength);
    }
    return places;
  }

  /**
   * Counts the entries that continue the first one and need no decoding: most are the previous one plus a cluster,
   * and holes are zeros.
   * @returns 0 or 1 if all entries must be decoded
   */
  #alike(run: L2Run, view: DataView, at: number, count: number): number {
    if (this.#image.extendedL2) return 0;
    const isZero = run.kind === 'unallocated' && view.getBigUint64(at) === 0n;
    if (run.kind !== 'normal' && !isZero) return 0;
    // A larger number is not a valid offset (see `narrow`).
    const isSafe = run.kind !== 'normal' || Number.isSafeInteger(run.host + count * this.#clusterSize);
    return isSafe ? entriesInStep(view, at, count, isZero ? 0 : this.#clusterSize) : 0;
  }

  /** Whether the cluster `units` after the start of `run` continues it. */
  #continues(run: L2Run, next: L2Run, units: number): boolean {
    if (run.kind === 'broken' || run.kind === 'compressed' || next.kind !== run.kind) return false;
    const hasPlace = run.kind === 'normal' || this.#settings.keptPlaces;
    return !hasPlace || next.host === after(run.host, units * this.#unitSize);
  }
}

/** @returns the number of entries from `at` on that each exceed the one before by `step`, at least 1 */
function entriesInStep(view: DataView, at: number, count: number, step: number): number {
  let high = view.getUint32(at);
  let low = view.getUint32(at + 4);
  for (let index = 1; index < count; index += 1) {
    low += step;
    if (low >= 2 ** 32) {
      low -= 2 ** 32;
      high += 1;
    }
    const entryAt = at + index * TABLE_ENTRY_BYTES;
    if (view.getUint32(entryAt + 4) !== low || view.getUint32(entryAt) !== high) return index;
  }
  return count;
}

/** @returns the offset `bytes` after `host`; undefined without one */
function after(host: number | undefined, bytes: number): number | undefined {
  return host === undefined ? undefined : host + bytes;
}

/**
 * Makes the error of an invalid entry for the guest cluster at `guestOffset`.
 * @param reason a clause about the cluster
 * @param offset of the entry in the file, if known
 */
export function brokenAt(file: string, guestOffset: number, reason: string, offset?: number): Qcow2cError {
  const message = `${quoted(file)} is broken at guest offset ${guestOffset}: ${reason}`;
  return new Qcow2cError('ERR_CORRUPT', message, { file, offset, guestOffset });
}

/**
 * @returns the error, if it concerns a part of the file, so that only clusters of this part are unreadable
 * @throws any other error, unchanged
 */
export function fileErrorOnly(error: unknown): Qcow2cError {
  if (!(error instanceof Qcow2cError) || isFileLost(error)) throw error;
  if (error.code === 'ERR_CORRUPT' || error.code === 'ERR_IO') return error;
  throw error;
}
