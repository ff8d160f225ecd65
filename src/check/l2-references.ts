/**
 * Counts the references of L2 entries and checks the entries. Rules: check_refcounts_l2 in QEMU. Specification: "L2
 * table entry". It uses 32-bit halves of entries, because it is called for every guest cluster of an image.
 */
import {
  compressedOffsetBits,
  HIGH_COMPRESSED,
  HIGH_COPIED,
  HIGH_OFFSET_MASK,
  HIGH_RESERVED,
  LOW_READS_AS_ZEROS,
  LOW_RESERVED,
  offsetOfHalves,
  wholeEntry,
} from '../qcow2/entry-bits.js';
import { SUBCLUSTERS } from '../qcow2/subclusters.js';
import { SECTOR_SIZE } from '../sector.js';
import type { CheckedImage } from './checked-image.js';
import type { Finding } from './findings.js';
import type { ReferenceCounters } from './reference-counters.js';

/** Guest clusters of the image's present state. */
export interface ClusterStatistics {
  allocated: number;
  fragmented: number;
  compressed: number;
}

export class L2References {
  readonly #counters: ReferenceCounters;
  readonly #findings: Finding[];
  readonly #extended: boolean;
  readonly #entryBytes: number;
  readonly #clusterBits: number;
  readonly #clusterSize: number;
  readonly #hasDataFile: boolean;
  readonly #virtualSize: number;
  /** Offset of the next cluster without fragmentation, in bytes; 0 before the first of a table. */
  #contiguous = 0;

  constructor(image: CheckedImage, counters: ReferenceCounters, findings: Finding[]) {
    const { extendedL2, l2EntryBytes, clusterBits, clusterSize } = image.geometry;
    this.#counters = counters;
    this.#findings = findings;
    this.#extended = extendedL2;
    this.#entryBytes = l2EntryBytes;
    this.#clusterBits = clusterBits;
    this.#clusterSize = clusterSize;
    this.#hasDataFile = image.hasDataFile;
    this.#virtualSize = image.header.virtualSize;
  }

  /**
   * Checks consecutive entries of a table.
   * @param tableOffset in bytes
   * @param statistics undefined: these guest clusters do not count
   * @param firstGuestCluster of the table
   */
  count(
    view: DataView,
    tableOffset: number,
    from: number,
    to: number,
    statistics: ClusterStatistics | undefined,
    firstGuestCluster: number,
  ): void {
    const counters = this.#counters;
    const { fileEnd, first, counts, max, isFirst } = counters;
    const windowLength = counts.length;
    const entryBytes = this.#entryBytes;
    const extended = this.#extended;
    const hasDataFile = this.#hasDataFile;
    const clusterBits = this.#clusterBits;
    const clusterSize = this.#clusterSize;
    const clustersPerHigh = 2 ** (32 - clusterBits);
    // Bits of the offset that must be 0; those below a sector are not part of it.
    const insideCluster = clusterSize - SECTOR_SIZE;
    const lastWhole = fileEnd - clusterSize;
    if (from === 0) this.#contiguous = 0;
    let contiguous = this.#contiguous;

    for (let at = from * entryBytes; at < to * entryBytes; at += entryBytes) {
      const high = view.getUint32(at);
      const low = view.getUint32(at + 4);
      if (high === 0 && low === 0 && !extended) continue;
      if ((high & HIGH_COMPRESSED) !== 0) {
        this.#compressed(view, tableOffset, at, statistics);
        continue;
      }
      const offset = offsetOfHalves(high, low);
      if (isFirst && ((high & HIGH_RESERVED) !== 0 || (low & LOW_RESERVED) !== 0)) {
        this.#findings.push({
          kind: 'l2-reserved-bits',
          at: tableOffset + at,
          entry: wholeEntry(high, low),
        });
      }
      if (offset === 0) {
        const readsAsZeros = (low & LOW_READS_AS_ZEROS) !== 0 && !extended;
        if (readsAsZeros || !hasDataFile || (high & HIGH_COPIED) === 0) {
          if (isFirst && extended && view.getUint32(at + 12) !== 0) {
            const kind = 'subclusters-without-cluster';
            this.#findings.push({ kind, at: tableOffset + at, entry: wholeEntry(high, low) });
          }
          continue;
        }
      }
      const isUnaligned = (low & insideCluster) !== 0;
      if (isFirst) {
        if (extended && (view.getUint32(at + 8) & view.getUint32(at + 12)) !== 0) {
          const kind = 'subclusters-contradictory';
          this.#findings.push({ kind, at: tableOffset + at, entry: wholeEntry(high, low) });
        }
        if (isUnaligned) this.#unaligned(view, tableOffset, at);
        if (statistics !== undefined) {
          statistics.allocated += 1;
          if (contiguous !== 0 && offset !== contiguous) statistics.fragmented += 1;
          contiguous = offset + clusterSize;
        }
      }
      if (hasDataFile) continue;
      if (isUnaligned || offset > lastWhole) {
        const guestOffset = (firstGuestCluster + at / entryBytes) * clusterSize;
        const needed = this.#neededBytes(view, at, guestOffset);
        counters.add('data cluster', offset, clusterSize, undefined, tableOffset + at, needed);
        continue;
      }
      const place = (high & HIGH_OFFSET_MASK) * clustersPerHigh + (low >>> clusterBits) - first;
      if (place < 0 || place >= windowLength) continue;
      const references = counts[place] as number;
      if (references < max) counts[place] = references + 1;
      else counters.addCluster(place);
    }
    this.#contiguous = contiguous;
  }

  /** Bits x and up hold the further sectors, lower bits the offset: x = 62 - (cluster_bits - 8). */
  #compressed(
    view: DataView,
    tableOffset: number,
    at: number,
    statistics: ClusterStatistics | undefined,
  ): void {
    const counters = this.#counters;
    const isFirst = counters.isFirst;
    const copiedHigh = view.getUint32(at);
    const low = view.getUint32(at + 4);
    const high = copiedHigh & ~HIGH_COPIED;
    const place = () => ({ at: tableOffset + at, entry: wholeEntry(high, low) });
    if (isFirst && (copiedHigh & HIGH_COPIED) !== 0) {
      const entry = wholeEntry(copiedHigh, low);
      this.#findings.push({ kind: 'compressed-copied-flag', at: tableOffset + at, entry });
    }
    const index = at / this.#entryBytes;
    if (this.#hasDataFile) {
      if (isFirst) this.#findings.push({ kind: 'compressed-in-data-file', ...place(), index });
      return;
    }
    if (this.#extended && (view.getUint32(at + 8) !== 0 || view.getUint32(at + 12) !== 0)) {
      if (isFirst) this.#findings.push({ kind: 'compressed-subclusters', ...place(), index });
      return;
    }
    const offsetBitsHigh = compressedOffsetBits(this.#clusterBits) - 32;
    const sectors = ((high & (HIGH_COMPRESSED - 1)) >>> offsetBitsHigh) + 1;
    const offset = (high & (2 ** offsetBitsHigh - 1)) * 2 ** 32 + low;
    const exact = Number.isSafeInteger(offset)
      ? undefined
      : wholeEntry(high & (2 ** offsetBitsHigh - 1), low);
    const length = sectors * SECTOR_SIZE - (low % SECTOR_SIZE);
    counters.add('compressed cluster', offset, length, exact, tableOffset + at);
    if (!isFirst || statistics === undefined) return;
    statistics.allocated += 1;
    statistics.compressed += 1;
    statistics.fragmented += 1;
  }

  /**
   * Counts the bytes from the start of a host cluster that hold guest data. QEMU writes only the subclusters that it
   * needs, and old versions end a preallocated image with the disk.
   */
  #neededBytes(view: DataView, at: number, guestOffset: number): number {
    const clusterSize = this.#clusterSize;
    const ofDisk = this.#virtualSize - guestOffset;
    // Clusters past the disk hold the state of a virtual machine.
    const most = ofDisk > 0 ? Math.min(clusterSize, ofDisk) : clusterSize;
    if (!this.#extended) return (view.getUint32(at + 4) & LOW_READS_AS_ZEROS) === 0 ? most : 0;
    const subclusters = SUBCLUSTERS - Math.clz32(view.getUint32(at + 12));
    return Math.min(most, (subclusters * clusterSize) / SUBCLUSTERS);
  }

  /** Without guest data in the cluster, the entry does not need it (fix_l2_entry_by_zero in QEMU). */
  #unaligned(view: DataView, tableOffset: number, at: number): void {
    const [high, low] = [view.getUint32(at), view.getUint32(at + 4)];
    const data = this.#extended ? view.getUint32(at + 12) : 0;
    const hasData = this.#extended ? data !== 0 : (low & LOW_READS_AS_ZEROS) === 0;
    const fixed = this.#extended
      ? { entry: 0n, subclusters: BigInt(view.getUint32(at + 8)) << 32n }
      : { entry: BigInt(LOW_READS_AS_ZEROS), subclusters: undefined };
    this.#findings.push({
      kind: 'cluster-unaligned',
      at: tableOffset + at,
      entry: wholeEntry(high, low),
      fixed: hasData ? undefined : fixed,
    });
  }
}
