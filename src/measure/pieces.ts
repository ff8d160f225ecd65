/**
 * Cuts work items into the pieces of a sample, and joins pieces into work items. A piece compresses to the same
 * clusters whichever item it is part of.
 */
import { roundDown } from '../arithmetic.js';
import type { NextItem } from '../convert/input.js';
import { refuseAbort } from '../workers/pipeline.js';
import type { PlannedItem } from '../workers/plan.js';
import { cutSegments, moveSegments, type Segment } from '../workers/segments.js';

export interface PieceSizes {
  /** Bytes of a piece, a divisor of the items' size and a multiple of the clusters'. */
  readonly pieceSize: number;
  readonly clusterSize: number;
}

/** An item and its pieces that may have to be stored. */
export interface CutItem {
  readonly item: PlannedItem;
  /** Offsets of the pieces from the item's start, in bytes; ascending. */
  readonly pieces: readonly number[];
}

/** All items in guest order, cut into pieces. @throws the errors of the source's map; ERR_ABORTED */
export async function* cutItems(
  next: NextItem,
  sizes: PieceSizes,
  signal: AbortSignal | undefined,
): AsyncGenerator<CutItem> {
  for (;;) {
    refuseAbort(signal);
    // Streams are not sampled, so no item arrives in a slot.
    const item = await next(0);
    if (item === undefined) return;
    yield { item, pieces: piecesOf(item, sizes) };
  }
}

/** Segments without data, and segments equal to the backing file, are not stored. */
function piecesOf({ segments, changed }: PlannedItem, { pieceSize, clusterSize }: PieceSizes): number[] {
  const found: number[] = [];
  const add = (start: number, end: number) => {
    for (let from = roundDown(start, pieceSize); from < end; from += pieceSize) {
      if (from > (found.at(-1) ?? -1)) found.push(from);
    }
  };
  if (changed === undefined) for (const { at, length } of segments) add(at, at + length);
  else for (const [from, to] of changed) add(from * clusterSize, to * clusterSize);
  return found;
}

/** The piece that begins `from` bytes from the item's start; its segments are relative to the piece. */
export function pieceOf(
  { guestOffset, length, segments, backing, changed }: PlannedItem,
  from: number,
  { pieceSize, clusterSize }: PieceSizes,
): PlannedItem {
  const to = Math.min(from + pieceSize, length);
  const piece = { guestOffset: guestOffset + from, length: to - from, segments: cut(segments, from, to) };
  if (changed === undefined) return piece;
  const [first, last] = [from / clusterSize, Math.ceil(to / clusterSize)];
  const inside = changed.flatMap(([start, end]): [number, number][] => {
    const [a, b] = [Math.max(start, first), Math.min(end, last)];
    return a < b ? [[a - first, b - first]] : [];
  });
  return { ...piece, backing: backing && cut(backing, from, to), changed: inside };
}

/** The parts of segments in [from, to), relative to `from`. */
function cut(segments: readonly Segment[], from: number, to: number): Segment[] {
  return moveSegments(cutSegments(segments, from, to), -from);
}

/**
 * @param pieces at least one; all but the last of full size
 * @returns an item with the pieces in sequence; it takes its offset from the first piece
 */
export function joinPieces(pieces: readonly PlannedItem[], sizes: PieceSizes): PlannedItem {
  const { pieceSize, clusterSize } = sizes;
  const { guestOffset = 0, backing, changed } = pieces[0] ?? {};
  const moved = (side: (piece: PlannedItem) => readonly Segment[]) =>
    pieces.flatMap((piece, index) => moveSegments(side(piece), index * pieceSize));
  const joined = {
    guestOffset,
    length: pieces.reduce((sum, { length }) => sum + length, 0),
    segments: moved(({ segments }) => segments),
  };
  if (changed === undefined) return joined;
  const clusters = pieceSize / clusterSize;
  return {
    ...joined,
    backing: backing && moved(({ backing = [] }) => backing),
    changed: pieces.flatMap(({ changed = [] }, index) =>
      changed.map(([from, to]): [number, number] => [from + index * clusters, to + index * clusters]),
    ),
  };
}
