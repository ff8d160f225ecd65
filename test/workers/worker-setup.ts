/** What a worker is told, with the defaults of the command line, and what it has put into a slot. */
import type { ClusterSizes, PackingSetup } from '../../src/workers/messages.js';
import { UNCHANGED } from '../../src/workers/messages.js';

export const SLOTS = 3;

/** Slots full of 0xcc; nothing is compressed unless `more` says so. */
export function setupOf(
  clusterSize: number,
  itemSize: number,
  more: Partial<PackingSetup> = {},
): PackingSetup {
  const results = new SharedArrayBuffer(SLOTS * itemSize);
  new Uint8Array(results).fill(0xcc);
  return {
    output: 'clusters',
    clusterSize,
    itemSize,
    compressor: undefined,
    inflate: [],
    passthrough: false,
    keepZeros: false,
    sparseSize: 4096,
    subclusters: false,
    salvage: false,
    readAlignment: 1,
    results,
    ...more,
  };
}

/** The slot's results, one for each cluster; empty for a cluster that takes no room there. */
export function piecesOf({ results, itemSize }: PackingSetup, sizes: ClusterSizes, slot = 0): Buffer[] {
  let at = slot * itemSize;
  return [...sizes].map((size) => {
    const length = size === UNCHANGED ? 0 : size;
    const piece = Buffer.from(results.slice(at, at + length));
    at += length;
    return piece;
  });
}
