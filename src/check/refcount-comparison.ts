/** Compares the refcounts of an image with the references counted (compare_refcounts in QEMU). */
import { refuseAbort } from '../workers/pipeline.js';
import type { Finding } from './findings.js';
import { ASK, type RefcountReader } from './refcount-table.js';
import type { ReferenceCounters } from './reference-counters.js';

/** Refcounts read at once, a multiple of 8, so that they begin and end with a byte. */
const PIECE_CLUSTERS = 32768;

/** Results besides findings. */
interface ComparisonOutcome {
  /** The last cluster with a refcount or a reference; 0 when there is none. */
  readonly highest: number;
  /** A cluster has references but no refcount; its refcount block may be missing. */
  readonly needsRebuild: boolean;
}

/**
 * Compares the present window of the counters, which afterwards hold the image's refcounts, or `ASK`.
 * @param report receives findings
 * @throws Qcow2cError ERR_IO, ERR_ABORTED
 */
export async function compareRefcounts(
  counters: ReferenceCounters,
  refcounts: RefcountReader,
  report: (finding: Finding) => Promise<void>,
  signal: AbortSignal | undefined,
): Promise<ComparisonOutcome> {
  const found = new Uint32Array(Math.min(PIECE_CLUSTERS, counters.counts.length));
  let highest = 0;
  let needsRebuild = false;
  for (let cluster = counters.first; cluster < counters.end; ) {
    refuseAbort(signal);
    const piece = found.subarray(
      0,
      Math.min(found.length - (cluster % found.length), counters.end - cluster),
    );
    const counts = counters.counts.subarray(
      cluster - counters.first,
      cluster - counters.first + piece.length,
    );
    await refcounts.read(cluster, piece);
    for (let at = 0; at < piece.length; at += 1) {
      const refcount = piece[at] as number;
      const expected = counts[at] as number;
      if (refcount === expected) {
        if (refcount > 0) highest = cluster + at;
        continue;
      }
      const exact = refcount === ASK ? await refcounts.refcountOf(cluster + at) : { value: BigInt(refcount) };
      if ('reason' in exact) {
        await report({ kind: 'refcount-unreadable', cluster: cluster + at, reason: exact.reason });
        continue;
      }
      highest = cluster + at;
      if (exact.value === BigInt(expected)) continue;
      if (exact.value === 0n) needsRebuild = true;
      await report({ kind: 'refcount', cluster: cluster + at, found: exact.value, expected });
    }
    counts.set(piece);
    cluster += piece.length;
  }
  return { highest, needsRebuild };
}
