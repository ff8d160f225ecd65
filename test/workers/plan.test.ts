import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UnreadableLog } from '../../src/convert/unreadable-log.js';
import type { MappedRange } from '../../src/image/source.js';
import { MOST_UNREADABLE } from '../../src/workers/item-walk.js';
import { ITEM_BYTES, type PlannedItem, plan } from '../../src/workers/plan.js';
import type { UnreadableRange } from '../../src/workers/unreadable-range.js';
import { FakeLayer, type LayerStretch, meaningsOf, stretchesOf } from '../image/fake-layer.js';
import { FakeSource } from '../image/fake-source.js';
import { tries } from '../stage.js';
import { putSegments } from './planned-bytes.js';

const TIB = 2 ** 40;
const MIB = 2 ** 20;
const SOURCE_KINDS = ['zero', 'data', 'compressed', 'unreadable'] as const;

type Kind = MappedRange['kind'];
const fake = (list: readonly LayerStretch<Kind>[]) => new FakeLayer<MappedRange>('fake', list);

async function itemsOf(
  source: FakeSource | FakeLayer<MappedRange>,
  itemSize: number,
  keepZeros: boolean,
  onUnreadable?: (stretch: UnreadableRange) => void,
): Promise<PlannedItem[]> {
  const items: PlannedItem[] = [];
  for await (const item of plan(source, { itemSize, keepZeros, onUnreadable })) items.push(item);
  return items;
}

/** Expects items on the grid, in order, and none without a byte to read unless zeros are kept. */
function expectOnGrid(
  items: readonly PlannedItem[],
  size: number,
  itemSize: number,
  keepZeros: boolean,
): void {
  let last = -1;
  for (const { guestOffset, length, segments } of items) {
    expect(guestOffset % itemSize).toBe(0);
    expect(guestOffset).toBeGreaterThan(last);
    last = guestOffset;
    expect(length).toBe(Math.min(itemSize, size - guestOffset));
    if (!keepZeros) expect(segments.length).toBeGreaterThan(0);
  }
  if (keepZeros) expect(items.length).toBe(Math.ceil(size / itemSize));
}

describe('the plan', () => {
  test('still emits items in ranges of only holes and unreadable parts, to report these', async () => {
    const pairs = 800;
    const list = Array.from({ length: 2 * pairs }, (_, index) => ({
      kind: index % 2 === 0 ? ('unreadable' as const) : ('zero' as const),
      length: 512,
    }));
    let told = 0;
    let most = 0;
    const log = new UnreadableLog(() => {
      told += 1;
    });
    let expected = 0;
    const onUnreadable = (stretch: UnreadableRange) => {
      log.expect(stretch);
      expected += 1;
      most = Math.max(most, expected - told);
    };
    const source = fake(list);
    let last = -1;
    for await (const { guestOffset, length, segments } of plan(source, {
      ...{ itemSize: 64 * 1024, keepZeros: false, onUnreadable },
    })) {
      expect(segments).toEqual([]);
      expect(guestOffset).toBeGreaterThan(last);
      last = guestOffset;
      log.itemDone([], guestOffset + length);
    }
    log.end();
    expect(told).toBe(pairs);
    // As many as make an item, and those of that item.
    expect(most).toBeLessThanOrEqual(MOST_UNREADABLE + 64);
  });

  test('lies on the grid and covers exactly the bytes of the map', async () => {
    await fc.assert(
      fc.asyncProperty(
        stretchesOf(['zero', 'data', 'compressed'], 200),
        fc.constantFrom(1, 16, 64),
        fc.boolean(),
        async (list, itemSize, keepZeros) => {
          const source = fake(list);
          const items = await itemsOf(source, itemSize, keepZeros);
          expectOnGrid(items, source.size, itemSize, keepZeros);
          const found = Array.from({ length: source.size }, () => 'zero');
          for (const item of items) putSegments(item.segments, item, found);
          expect(found).toEqual(await meaningsOf(source));
        },
      ),
      { numRuns: tries(200) },
    );
  });

  test('treats unreadable parts of the map as zeros with salvage, and reports each byte once, in order', async () => {
    await fc.assert(
      fc.asyncProperty(
        stretchesOf(SOURCE_KINDS, 60),
        fc.constantFrom(1, 16, 64),
        fc.boolean(),
        async (list, itemSize, keepZeros) => {
          const source = fake(list);
          const meanings = await meaningsOf(source);
          const told = Array.from({ length: source.size }, (): string => 'readable');
          let end = 0;
          const log = new UnreadableLog(({ guestOffset, length, error }) => {
            expect(guestOffset).toBeGreaterThanOrEqual(end);
            end = guestOffset + length;
            told.fill(`unreadable ${error.file}:${error.offset}`, guestOffset, end);
          });
          const found = Array.from({ length: source.size }, () => 'zero');
          const settings = {
            itemSize,
            keepZeros,
            onUnreadable: (range: UnreadableRange) => log.expect(range),
          };
          for await (const item of plan(source, settings)) {
            putSegments(item.segments, item, found);
            log.itemDone([], item.guestOffset + item.length);
          }
          log.end();
          const isUnreadable = (meaning: string) => meaning.startsWith('unreadable');
          expect(found).toEqual(meanings.map((meaning) => (isUnreadable(meaning) ? 'zero' : meaning)));
          expect(told).toEqual(meanings.map((meaning) => (isUnreadable(meaning) ? meaning : 'readable')));
          expect(log.bytes).toBe(meanings.filter(isUnreadable).length);
        },
      ),
      { numRuns: tries(200) },
    );
  });

  test("ends with the map's error without salvage, after all items before it", async () => {
    const source = fake([
      { kind: 'data', length: 3 * MIB },
      { kind: 'unreadable', length: MIB },
      { kind: 'unreadable', length: MIB },
    ]);
    const items = plan(source, { itemSize: 2 * MIB, keepZeros: false });
    expect((await items.next()).value).toMatchObject({ guestOffset: 0 });
    await expect(items.next()).rejects.toMatchObject({ code: 'ERR_CORRUPT', offset: 3 * MIB });
  });

  test('queries each hole that begins with an item once, however large it is', async () => {
    const source = new FakeSource('fake', [
      { kind: 'zero', length: 3 * TIB },
      { kind: 'data', length: MIB },
      { kind: 'zero', length: 5 * TIB },
      { kind: 'data', length: 512 },
      { kind: 'zero', length: 2 * TIB },
    ]);
    const items = await itemsOf(source, MIB, false);
    expect(items.map(({ guestOffset, length }) => [guestOffset, length])).toEqual([
      [3 * TIB, MIB],
      [8 * TIB + MIB, MIB],
    ]);
    // The last hole is met inside of an item, and once more behind it.
    expect(source.asked).toEqual([
      0,
      3 * TIB,
      3 * TIB + MIB,
      8 * TIB + MIB,
      8 * TIB + MIB + 512,
      8 * TIB + 2 * MIB,
    ]);
  });

  test('skips unreadable ranges like holes', async () => {
    const source = fake([
      { kind: 'unreadable', length: 3 * TIB },
      { kind: 'data', length: MIB },
    ]);
    const told: number[] = [];
    const items = await itemsOf(source, MIB, false, ({ length }) => told.push(length));
    expect(items.map(({ guestOffset }) => guestOffset)).toEqual([3 * TIB]);
    expect(told).toEqual([3 * TIB]);
  });

  test('continues in the middle of an item after a hole, and cuts the last item to the disk', async () => {
    const source = new FakeSource('fake', [
      { kind: 'zero', length: MIB + 512 },
      { kind: 'data', length: 1024 },
      { kind: 'zero', length: 4096 },
      { kind: 'data', length: MIB },
    ]);
    const data = { kind: 'data', descriptor: 77 } as const;
    expect(await itemsOf(source, MIB, false)).toEqual([
      {
        guestOffset: MIB,
        length: MIB,
        segments: [
          { ...data, at: 512, length: 1024, offset: MIB + 512 + 1000 },
          { ...data, at: 5632, length: MIB - 5632, offset: MIB + 5632 + 1000 },
        ],
      },
      {
        guestOffset: 2 * MIB,
        length: 5632,
        segments: [{ ...data, at: 0, length: 5632, offset: 2 * MIB + 1000 }],
      },
    ]);
  });

  test('cuts a compressed cluster at the end of an item, with the number of bytes to skip', async () => {
    const source = fake([
      { kind: 'zero', length: 512 },
      { kind: 'compressed', length: 4096 },
    ]);
    const payloads = { type: 'zlib', descriptor: 77, clusterSize: 4096, places: [1512, 512] } as const;
    const compressed = { kind: 'compressed', payloads } as const;
    const [first, second, third] = await itemsOf(source, 2048, false);
    expect(first?.segments).toEqual([{ ...compressed, at: 512, length: 1536, skip: 0 }]);
    expect(second?.segments).toEqual([{ ...compressed, at: 0, length: 2048, skip: 1536 }]);
    expect(third?.segments).toEqual([{ ...compressed, at: 0, length: 512, skip: 3584 }]);
  });

  test('has no item for an empty disk', async () => {
    for (const keepZeros of [false, true]) {
      expect(await itemsOf(new FakeSource('fake', []), MIB, keepZeros)).toEqual([]);
    }
  });

  test('plans no further than the requested item', async () => {
    const source = new FakeSource('fake', [{ kind: 'data', length: 10 * MIB }]);
    const items = plan(source, { itemSize: MIB, keepZeros: false });
    await items.next();
    expect(source.asked).toEqual([0]);
  });

  test('ends with the error of the map', async () => {
    const source = new FakeSource('fake', [{ kind: 'data', length: 3 * MIB }]);
    const { map } = source;
    source.map = (offset) => (offset < MIB ? map.call(source, offset) : Promise.reject(new Error('EIO')));
    const items = plan(source, { itemSize: MIB, keepZeros: false });
    expect((await items.next()).value).toMatchObject({ guestOffset: 0 });
    await expect(items.next()).rejects.toThrow('EIO');
  });
});

test('a work item consists of whole clusters of any size', () => {
  for (let clusterBits = 9; clusterBits <= 21; clusterBits += 1)
    expect(ITEM_BYTES % 2 ** clusterBits).toBe(0);
});
