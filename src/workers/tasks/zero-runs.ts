/**
 * Which parts of a disk are worth writing when nothing is compressed: by the rule of qemu-img, so that the
 * same ranges come out. Pure, for the workers.
 */

/** Zeros to compare with; longer pieces are compared in several. */
const ZEROS = Buffer.alloc(65536);

/** A range that the source has bytes for, in bytes from the item's start. */
export interface DataRange {
  readonly at: number;
  readonly length: number;
}

/**
 * Finds the runs to write. Each range is taken by itself and cut at multiples of the largest power of two not
 * above `sparseSize`; pieces of zeros are left out, at the range's ends always, between others when at least
 * `sparseSize` bytes of them come together. The rule is that of is_allocated_sectors_min in QEMU's qemu-img.c.
 * @param bytes of the item; what lies outside the ranges is never written
 * @param ranges ascending
 * @param sparseSize bytes, at least 512
 * @returns pairs of bytes from the item's start, [from, to), ascending, none touching the next
 */
export function runsToWrite(bytes: Uint8Array, ranges: readonly DataRange[], sparseSize: number): number[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const unit = 2 ** Math.floor(Math.log2(sparseSize));
  const runs: number[] = [];
  for (const { at, length } of ranges) {
    const end = at + length;
    // Empty so far; grows to the end of each piece with data.
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

/** Adds a run, unless it is empty; one that touches the last becomes a part of it. */
function append(runs: number[], from: number, to: number): void {
  if (from === to) return;
  if (runs.at(-1) === from) runs[runs.length - 1] = to;
  else runs.push(from, to);
}

/** Whether all bytes of [from, to) are zero. */
function isZero(buffer: Buffer, from: number, to: number): boolean {
  for (let at = from; at < to; at += ZEROS.length) {
    const length = Math.min(ZEROS.length, to - at);
    if (buffer.compare(ZEROS, 0, length, at, at + length) !== 0) return false;
  }
  return true;
}
