/**
 * Finds the ranges of a disk to write if nothing is compressed, and the subclusters that they touch. The rule is
 * that of qemu-img, so the ranges are the same.
 */
import { SUBCLUSTERS } from '../../qcow2/subclusters.js';

/** Zeros to compare with; longer pieces are compared in several steps. */
const ZEROS = Buffer.alloc(65536);

/** A range for which the source has bytes, in bytes from the item's start. */
export interface ItemRange {
  readonly at: number;
  readonly length: number;
}

/**
 * Finds the runs to write. Each range is cut at multiples of the largest power of two not above `sparseSize`. Pieces of
 * zeros are omitted: at the ends of the range always, between other pieces if they have at least `sparseSize` bytes
 * together (is_allocated_sectors_min in QEMU's qemu-img.c).
 * @param bytes of the item; bytes outside the ranges are never written
 * @param ranges ascending
 * @param sparseSize bytes, at least 512
 * @returns pairs of bytes from the item's start, [from, to), ascending, none touching the next
 */
export function runsToWrite(bytes: Uint8Array, ranges: readonly ItemRange[], sparseSize: number): number[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const unit = 2 ** Math.floor(Math.log2(sparseSize));
  const runs: number[] = [];
  for (const { at, length } of ranges) {
    const end = at + length;
    // The run so far is empty. Each piece with data extends it.
    let from = at;
    let to = at;
    for (let piece = at, next: number; piece < end; piece = next) {
      next = Math.min(end, piece + unit - (piece % unit));
      if (isZero(buffer, piece, next)) continue;
      if (to === from || piece - to >= sparseSize) {
        append(runs, from, to);
        from = piece;
      }
      to = next;
    }
    append(runs, from, to);
  }
  return runs;
}

/**
 * @param runs pairs of bytes from the item's start, [from, to), ascending
 * @param clusters of the item
 * @param clusterSize bytes
 * @returns for each cluster the subclusters that a run touches, bit n for subcluster n; 0 for none. For clusters
 *   smaller than 32 sectors, which have no subclusters, any bit means that a run touches the cluster
 */
export function touchedSubclusters(
  runs: readonly number[],
  clusters: number,
  clusterSize: number,
): Uint32Array {
  const touched = new Uint32Array(clusters);
  const size = clusterSize / SUBCLUSTERS;
  for (let index = 0; index + 1 < runs.length; index += 2) {
    const end = Math.ceil((runs[index + 1] as number) / size);
    for (let first = Math.floor((runs[index] as number) / size), next: number; first < end; first = next) {
      const cluster = Math.floor(first / SUBCLUSTERS);
      next = Math.min(end, (cluster + 1) * SUBCLUSTERS);
      const start = cluster * SUBCLUSTERS;
      touched[cluster] = (touched[cluster] as number) | (bitsBelow(next - start) & ~bitsBelow(first - start));
    }
  }
  return touched;
}

/** Adds a run unless it is empty. A run that touches the last one is joined to it. */
function append(runs: number[], from: number, to: number): void {
  if (from === to) return;
  if (runs.at(-1) === from) runs[runs.length - 1] = to;
  else runs.push(from, to);
}

/** Whether all bytes of [from, to) are zero. */
function isZero(buffer: Buffer, from: number, to: number): boolean {
  // Most pieces that hold data show it at an end, and a call of `compare` takes longer than this.
  if (buffer[from] !== 0 || buffer[to - 1] !== 0) return false;
  for (let at = from; at < to; at += ZEROS.length) {
    const length = Math.min(ZEROS.length, to - at);
    if (buffer.compare(ZEROS, 0, length, at, at + length) !== 0) return false;
  }
  return true;
}

/** Bits 0 to count - 1; count up to 32. */
function bitsBelow(count: number): number {
  return 2 ** count - 1;
}
