import fc from 'fast-check';
import { expect, test } from 'vitest';
import { cutItems, joinPieces, pieceOf } from '../../src/measure/pieces.js';
import { ITEM_BYTES, type PlannedItem } from '../../src/workers/plan.js';
import type { Segment } from '../../src/workers/segments.js';
import { meaningOf } from '../image/fake-layer.js';

const SECTOR = 512;
const CLUSTER = 4096;
const PIECE = 65536;
const SIZES = { clusterSize: CLUSTER, pieceSize: PIECE };

/** Segments of all kinds with gaps between them, in sectors. */
const ANY_SEGMENTS = fc
  .array(
    fc.record({
      gap: fc.integer({ min: 0, max: 300 }),
      length: fc.integer({ min: 1, max: 400 }),
      data: fc.boolean(),
    }),
    { maxLength: 12 },
  )
  .map((list) => {
    const segments: Segment[] = [];
    let at = 0;
    for (const [index, { gap, length, data }] of list.entries()) {
      at += gap * SECTOR;
      const bytes = Math.min(length * SECTOR, ITEM_BYTES - at);
      if (bytes <= 0) break;
      const [place, offset] = [{ at, length: bytes }, index * 7 * SECTOR];
      if (data) {
        segments.push({ kind: 'data', ...place, descriptor: index, offset });
      } else {
        const places = [offset, 99, offset + 1, 98];
        const payloads = { type: 'zlib', descriptor: index, clusterSize: ITEM_BYTES, places } as const;
        segments.push({ kind: 'compressed', ...place, payloads, skip: 3 * SECTOR });
      }
      at += bytes;
    }
    return segments;
  });

/** Where each sector of an item comes from. */
function sectorsOf(segments: readonly Segment[], length: number): (string | undefined)[] {
  const sectors = new Array<string | undefined>(length / SECTOR).fill(undefined);
  for (const segment of segments) {
    if (segment.kind === 'arrived') throw new Error('a stream');
    for (let done = 0; done < segment.length; done += SECTOR) {
      sectors[(segment.at + done) / SECTOR] = meaningOf(segment, done);
    }
  }
  return sectors;
}

async function cut(item: PlannedItem) {
  const items = [item].values();
  const found = [];
  for await (const one of cutItems(async () => items.next().value, SIZES, undefined)) found.push(one);
  return found[0]!.pieces;
}

test("pieces hold the item's data; the rest of the item is zeros", async () => {
  await fc.assert(
    fc.asyncProperty(ANY_SEGMENTS, fc.integer({ min: 1, max: 4096 }), async (segments, sectors) => {
      const length = sectors * SECTOR;
      const inside = segments.filter((segment) => segment.at + segment.length <= length);
      const item = { guestOffset: 5 * ITEM_BYTES, length, segments: inside };
      const expected = sectorsOf(inside, length);
      const found = new Array<string | undefined>(length / SECTOR).fill(undefined);
      for (const from of await cut(item)) {
        const piece = pieceOf(item, from, SIZES);
        expect(piece.guestOffset).toBe(item.guestOffset + from);
        expect(piece.length).toBe(Math.min(PIECE, length - from));
        expect(piece.segments).not.toEqual([]);
        for (const [index, sector] of sectorsOf(piece.segments, piece.length).entries()) {
          found[from / SECTOR + index] = sector;
        }
      }
      expect(found).toEqual(expected);
    }),
    { numRuns: 100 },
  );
});

test('joined pieces are contiguous', async () => {
  await fc.assert(
    fc.asyncProperty(ANY_SEGMENTS, async (segments) => {
      const item = { guestOffset: 0, length: ITEM_BYTES, segments };
      const [first, ...others] = (await cut(item)).map((from) => pieceOf(item, from, SIZES));
      if (first === undefined) return;
      const joined = joinPieces([first, ...others], SIZES);
      const all = [first, ...others].flatMap((piece) => sectorsOf(piece.segments, piece.length));
      expect(sectorsOf(joined.segments, joined.length)).toEqual(all);
      expect(joined.guestOffset).toBe(first.guestOffset);
      expect(joined.changed).toBeUndefined();
    }),
    { numRuns: 50 },
  );
});

test('with a backing file, clusters that may differ are cut and joined too', async () => {
  const item: PlannedItem = {
    guestOffset: 0,
    length: ITEM_BYTES,
    segments: [{ kind: 'data', at: 0, length: 20 * CLUSTER, descriptor: 1, offset: 0 }],
    backing: [{ kind: 'data', at: 15 * CLUSTER, length: 60 * CLUSTER, descriptor: 2, offset: 0 }],
    changed: [
      [14, 18],
      [65, 66],
    ],
  };
  const places = await cut(item);
  expect(places).toEqual([0, PIECE, 4 * PIECE]);
  const pieces = places.map((from) => pieceOf(item, from, SIZES));
  expect(pieces.map(({ changed }) => changed)).toEqual([[[14, 16]], [[0, 2]], [[1, 2]]]);
  const [first, second, third] = pieces as [PlannedItem, PlannedItem, PlannedItem];
  expect(second.backing).toMatchObject([{ at: 0, length: PIECE, offset: CLUSTER }]);
  const joined = joinPieces([first, third], SIZES);
  expect(joined.changed).toEqual([
    [14, 16],
    [17, 18],
  ]);
  expect(joined.backing).toMatchObject([
    { at: 15 * CLUSTER, length: CLUSTER, offset: 0 },
    { at: 16 * CLUSTER, length: 11 * CLUSTER, offset: 49 * CLUSTER },
  ]);
});
