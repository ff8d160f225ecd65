/**
 * Compares bit 63 of the entries of the active L1 table and its L2 tables with the image's refcounts
 * (check_oflag_copied in QEMU). Specification: "L1 table entry", "L2 table entry".
 */
import {
  COPIED,
  HIGH_COMPRESSED,
  HIGH_COPIED,
  HIGH_OFFSET_MASK,
  LOW_OFFSET_MASK,
  LOW_READS_AS_ZEROS,
  offsetOfHalves,
  wholeEntry,
} from '../qcow2/entry-bits.js';
import type { CheckedImage } from './checked-image.js';
import type { Finding } from './findings.js';
import { type L1EntryHalves, TableWalk } from './l2-windows.js';
import { ASK, type RefcountReader } from './refcount-table.js';
import type { ReferenceCounters } from './reference-counters.js';

/** An L2 entry whose flag may be wrong. */
interface Candidate {
  readonly at: number;
  readonly entry: bigint;
  readonly cluster: number;
  /** `ASK`: only the refcount reader knows it. */
  readonly refcount: number;
}

/**
 * Checks the entries whose cluster is in the present window; in the last window also those of clusters past the
 * image.
 * @param counters hold refcounts, as `compareRefcounts` leaves them
 * @param isLast whether the window is the last one
 * @param onShare called with the part of the L1 table that is done, 0 to 1
 * @throws Qcow2cError ERR_IO, ERR_ABORTED
 */
export async function checkCopiedFlags(
  image: CheckedImage,
  counters: ReferenceCounters,
  refcounts: RefcountReader,
  isLast: boolean,
  report: (finding: Finding) => Promise<void>,
  signal: AbortSignal | undefined,
  onShare: (share: number) => void,
): Promise<void> {
  const { header, geometry, hasDataFile } = image;
  const { clusterSize, clusterBits, l2EntryBytes, extendedL2 } = geometry;
  const { counts, first, end, isFirst } = counters;
  const windowLength = end - first;
  const clustersPerHigh = 2 ** (32 - clusterBits);
  const candidates: Candidate[] = [];

  const l1Entry = (entry: L1EntryHalves): boolean | Promise<boolean> => {
    const { high, l2Offset } = entry;
    if (l2Offset === 0) return false;
    const refcount = counts[Math.floor(l2Offset / clusterSize) - first];
    // For nearly every table the refcount is in the counters and the flag is correct.
    if (refcount === 1 && (high & HIGH_COPIED) !== 0) return true;
    return l1EntryWithLookup(entry);
  };

  const l1EntryWithLookup = async ({ index, at, high, low, l2Offset }: L1EntryHalves): Promise<boolean> => {
    const found = await refcounts.refcountOf(Math.floor(l2Offset / clusterSize));
    if ('reason' in found) return false;
    const isCopied = (high & HIGH_COPIED) !== 0;
    if (isFirst && (found.value === 1n) !== isCopied) {
      const entry = wholeEntry(high, low);
      const fixed = entry ^ COPIED;
      await report({ kind: 'copied-flag-l2-table', at, entry, index, refcount: found.value, fixed });
    }
    return true;
  };

  const l2Entries = (view: DataView, tableOffset: number, from: number, to: number): void => {
    for (let at = from * l2EntryBytes; at < to * l2EntryBytes; at += l2EntryBytes) {
      const high = view.getUint32(at);
      const low = view.getUint32(at + 4);
      if ((high === 0 && low === 0) || (high & HIGH_COMPRESSED) !== 0) continue;
      const isCopied = (high & HIGH_COPIED) !== 0;
      let refcount = 1;
      let cluster = 0;
      if (hasDataFile) {
        // Clusters of an external data file have no refcount. Their flag is always set: it distinguishes offset 0
        // from none.
        const readsAsZeros = (low & LOW_READS_AS_ZEROS) !== 0 && !extendedL2;
        if (offsetOfHalves(high, low) === 0 && (readsAsZeros || !isCopied)) continue;
        if (isCopied || !isFirst) continue;
      } else {
        if ((high & HIGH_OFFSET_MASK) === 0 && (low & LOW_OFFSET_MASK) === 0) continue;
        cluster = (high & HIGH_OFFSET_MASK) * clustersPerHigh + (low >>> clusterBits);
        const place = cluster - first;
        if (place < 0 || (place >= windowLength && !isLast)) continue;
        refcount = place < windowLength ? (counts[place] as number) : ASK;
        if ((refcount === 1) === isCopied && refcount !== ASK) continue;
      }
      candidates.push({ at: tableOffset + at, entry: wholeEntry(high, low), cluster, refcount });
    }
  };

  const reportCandidates = async (): Promise<void> => {
    for (const { at, entry, cluster, refcount } of candidates) {
      const found = refcount === ASK ? await refcounts.refcountOf(cluster) : { value: BigInt(refcount) };
      if ('reason' in found) continue;
      if ((found.value === 1n) === ((entry & COPIED) !== 0n)) continue;
      const fixed = entry ^ COPIED;
      await report({ kind: 'copied-flag-cluster', at, entry, refcount: found.value, fixed });
    }
    candidates.length = 0;
  };

  const l1 = { offset: header.l1Offset, entries: header.l1Entries };
  const flush = () => (candidates.length === 0 ? undefined : reportCandidates());
  await new TableWalk(image).walk(l1, { l1Entry, l2Entries, flush }, signal, (done) =>
    onShare(done / l1.entries),
  );
}
