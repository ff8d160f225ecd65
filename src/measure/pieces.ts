/**
 * Cuts work items into the pieces that a sample consists of, and joins pieces to work items again. A piece is work
 * as an item is, and gives the same compressed clusters wherever it is worked on.
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

/** An item and which pieces of it may have to be stored. */
export interface CutItem {
  readonly item: PlannedItem;
  /** Where they begin, in bytes from the item's start; ascending. */
  readonly pieces: readonly number[];
}

/** All items in guest order, cut. @throws what the source's map throws; ERR_ABORTED */
export async function* cutItems(
  next: NextItem,
  sizes: PieceSizes,
  signal: AbortSignal | undefined,
): AsyncGenerator<CutItem> {
  for (;;) {
    refuseAbort(signal);
    // No stream is sampled, so no item arrives in a slot.
    const item = await next(0);
    if (item === undefined) return;
    yield { item, pieces: piecesOf(item, sizes) };
  }
}

/** Of what nobody has bytes for, and what is as in the backing file, nothing is stored. */
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

/** The piece that begins `from` bytes from the item's start, with segments from its own. */
export function pieceOf(
  { guestOffset, length, segments, backing, changed }: PlannedItem,
  from: number,
  { pieceSize, clusterSize }: PieceSizes,
): PlannedItem {
  const to = Math.min(from + pieceSize, length);
  const piece = { guestOffset: guestOffset + from, length: to - from, segments: cut(segments, from, to) };
  if (backing === undefined || changed === undefined) return piece;
  const [first, last] = [from / clusterSize, Math.ceil(to / clusterSize)];
  const inside = changed.flatMap(([start, end]): [number, number][] => {
    const [a, b] = [Math.max(start, first), Math.min(end, last)];
    return a < b ? [[a - first, b - first]] : [];
  });
  return { ...piece, backing: cut(backing, from, to), changed: inside };
}

/** The parts of segments in [from, to), with places from `from` on. */
function cut(segments: readonly Segment[], from: number, to: number): Segment[] {
  return moveSegments(cutSegments(segments, from, to), -from);
}

/**
 * @param pieces at least one; all but the last of full size
 * @returns an item that holds them one behind the other, and begins where the first does as far as it tells
 */
export function joinPieces(pieces: readonly PlannedItem[], sizes: PieceSizes): PlannedItem {
  const { pieceSize, clusterSize } = sizes;
  const { guestOffset = 0, changed } = pieces[0] ?? {};
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
    backing: moved(({ backing = [] }) => backing),
    changed: pieces.flatMap(({ changed = [] }, index) =>
      changed.map(([from, to]): [number, number] => [from + index * clusters, to + index * clusters]),
    ),
  };
}
