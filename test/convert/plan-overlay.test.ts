import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planOverlay } from '../../src/convert/plan-overlay.js';
import { UnreadableLog } from '../../src/convert/unreadable-log.js';
import { BackingChain } from '../../src/image/backing-chain.js';
import type { MappedRange, Source } from '../../src/image/source.js';
import type { PlannedItem } from '../../src/workers/plan.js';
import type { UnreadableRange } from '../../src/workers/unreadable-range.js';
import { FakeLayer, type LayerStretch, meaningsOf, stretchesOf } from '../image/fake-layer.js';
import { tries } from '../stage.js';
import { putSegments } from '../workers/planned-bytes.js';

const TIB = 2 ** 40;
const MIB = 2 ** 20;
const CLUSTER = 4;

async function itemsOf(
  source: Source,
  backing: Source,
  {
    itemSize = 16,
    clusterSize = CLUSTER,
    onUnreadable = undefined as ((stretch: UnreadableRange) => void) | undefined,
  } = {},
): Promise<PlannedItem[]> {
  const items: PlannedItem[] = [];
  const settings = { clusterSize, itemSize, onUnreadable };
  for await (const item of planOverlay(source, backing, settings, String)) items.push(item);
  return items;
}

const fake = (name: string, list: readonly LayerStretch<MappedRange['kind']>[], descriptor: number) =>
  new FakeLayer<MappedRange>(name, list, descriptor);

/** Expects the plan to contain exactly the clusters that may differ, and no other reads. */
async function expectExact(source: Source, backing: Source, itemSize: number): Promise<PlannedItem[]> {
  const items = await itemsOf(source, backing, { itemSize });
  const ours = await meaningsOf(source);
  const theirs = await meaningsOf(backing);
  const below = ours.map((_, byte) => theirs[byte] ?? 'zero');
  const differing = ours.flatMap((meaning, byte) =>
    meaning === below[byte] ? [] : [Math.floor(byte / CLUSTER)],
  );

  const changed: number[] = [];
  const seen = { source: ours.map(() => 'not read'), backing: ours.map(() => 'not read') };
  let last = -1;
  for (const item of items) {
    const { guestOffset, length } = item;
    expect(guestOffset % itemSize).toBe(0);
    expect(guestOffset).toBeGreaterThan(last);
    last = guestOffset;
    expect(length).toBe(Math.min(itemSize, source.size - guestOffset));
    expect(item.changed?.length).toBeGreaterThan(0);
    let end = -1;
    for (const [from, to] of item.changed ?? []) {
      // Ascending, and apart from each other.
      expect(from).toBeGreaterThan(end);
      expect(to).toBeGreaterThan(from);
      end = to;
      for (let cluster = from; cluster < to; cluster += 1) changed.push(guestOffset / CLUSTER + cluster);
      const bytes = [
        guestOffset + from * CLUSTER,
        Math.min(guestOffset + to * CLUSTER, source.size),
      ] as const;
      seen.source.fill('zero', ...bytes);
      seen.backing.fill('zero', ...bytes);
    }
    putSegments(item.segments, item, seen.source);
    putSegments(item.backing ?? [], item, seen.backing);
  }
  expect(changed).toEqual([...new Set(differing)]);
  const read = new Set(changed);
  const expected = (meanings: readonly string[]) =>
    meanings.map((meaning, byte) => (read.has(Math.floor(byte / CLUSTER)) ? meaning : 'not read'));
  expect(seen).toEqual({ source: expected(ours), backing: expected(below) });
  return items;
}

test('items are still emitted where both are zeros and most of the source is unreadable', async () => {
  const list = Array.from({ length: 1600 }, (_, index) => ({
    kind: index % 2 === 0 ? ('unreadable' as const) : ('zero' as const),
    length: 512,
  }));
  const source = fake('source', list, 3);
  const backing = fake('backing', [{ kind: 'zero', length: source.size }], 4);
  let told = 0;
  const onUnreadable = () => {
    told += 1;
  };
  const items = await itemsOf(source, backing, { itemSize: 65_536, clusterSize: 512, onUnreadable });
  expect(told).toBeGreaterThanOrEqual(800);
  expect(items.length).toBeGreaterThan(1);
  expect(items.map(({ guestOffset }) => guestOffset)).toEqual(
    [...new Set(items.map(({ guestOffset }) => guestOffset))].sort((a, b) => a - b),
  );
  for (const { segments, changed } of items)
    expect({ segments, changed }).toEqual({ segments: [], changed: [] });
});

describe('the plan of an overlay', () => {
  test('has exactly the clusters that may differ, for any two maps with or without shared files', async () => {
    const kinds = ['zero', 'data', 'compressed'] as const;
    await fc.assert(
      fc.asyncProperty(
        stretchesOf(kinds, 60),
        stretchesOf(kinds, 60),
        fc.constantFrom(8, 9),
        fc.constantFrom(4, 16, 64),
        async (ours, theirs, descriptor, itemSize) => {
          await expectExact(fake('source', ours, 8), fake('backing', theirs, descriptor), itemSize);
        },
      ),
      { numRuns: tries(200) },
    );
  });

  test('has exactly the changes of a source’s layers above its backing file', async () => {
    const kinds = ['unallocated', 'zero', 'data', 'compressed'] as const;
    let leftOut = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(stretchesOf(kinds, 60), { minLength: 2, maxLength: 4 }),
        fc.nat(3),
        fc.constantFrom(4, 16, 64),
        async (lists, depth, itemSize) => {
          const layers = lists.map((list, index) => new FakeLayer(`l${index}`, list, 10 + index));
          const [top, ...rest] = layers.map((layer) => layer);
          const below = rest.slice(Math.min(depth, rest.length - 1));
          const source = new BackingChain([top!, ...rest]);
          const items = await expectExact(source, new BackingChain([below[0]!, ...below.slice(1)]), itemSize);
          leftOut += Math.ceil(source.size / itemSize) - items.length;
        },
      ),
      { numRuns: tries(200) },
    );
    expect(leftOut).toBeGreaterThan(tries(100));
  });

  test('skips ranges that are equal by their maps in one step, however large', async () => {
    const list = [
      { kind: 'unallocated', length: 3 * TIB + 512 },
      { kind: 'data', length: 1024 },
      { kind: 'unallocated', length: 5 * TIB - 1536 },
      { kind: 'zero', length: MIB },
      { kind: 'unallocated', length: TIB },
    ] as const;
    const top = new FakeLayer('top', list, 8);
    const base = fake('base', [{ kind: 'data', length: 6 * TIB }], 9);
    const [source, backing] = [new BackingChain([top, base]), new BackingChain([base])];
    const items = await itemsOf(source, backing, { itemSize: MIB, clusterSize: 65_536 });
    const data = { kind: 'data', descriptor: 9 } as const;
    expect(items).toEqual([
      {
        guestOffset: 3 * TIB,
        length: MIB,
        changed: [[0, 1]],
        segments: [
          { ...data, at: 0, length: 512, offset: 3 * TIB + 1000 },
          { kind: 'data', descriptor: 8, at: 512, length: 1024, offset: 3 * TIB + 1512 },
          { ...data, at: 1536, length: 64_000, offset: 3 * TIB + 2536 },
        ],
        backing: [
          { ...data, at: 0, length: 512, offset: 3 * TIB + 1000 },
          { ...data, at: 512, length: 1024, offset: 3 * TIB + 1512 },
          { ...data, at: 1536, length: 64_000, offset: 3 * TIB + 2536 },
        ],
      },
    ]);
    expect(top.asked.length).toBeLessThan(12);
    expect(base.asked.length).toBeLessThan(12);
  });

  test('compares a source that is longer than the backing file with zeros there', async () => {
    const source = fake('source', [{ kind: 'data', length: 16 }], 8);
    const [item] = await itemsOf(source, fake('backing', [{ kind: 'data', length: 6 }], 8));
    expect(item).toMatchObject({ changed: [[1, 4]], backing: [{ at: 4, length: 2, offset: 1004 }] });
    const zeros = fake('source', [{ kind: 'zero', length: 16 }], 8);
    expect(await itemsOf(zeros, fake('backing', [], 9))).toEqual([]);
  });

  test('treats different offsets of one file as different', async () => {
    const source = fake('source', [{ kind: 'data', length: 16 }], 8);
    const backing = fake('backing', [{ kind: 'data', length: 16 }], 8);
    expect(await itemsOf(source, backing)).toEqual([]);
    const { map } = backing;
    backing.map = async (offset) => {
      const range = await map.call(backing, offset);
      return range.kind === 'data' ? { ...range, offset: range.offset + 16 } : range;
    };
    expect((await itemsOf(source, backing)).length).toBe(1);
  });

  test.each([0, 1, 4, 7])(
    'contains only the cluster whose payload has another place or length: number %i',
    async (number) => {
      const source = fake('source', [{ kind: 'compressed', length: 16, clusterSize: 4 }], 8);
      const backing = fake('backing', [{ kind: 'compressed', length: 16, clusterSize: 4 }], 8);
      expect(await itemsOf(source, backing)).toEqual([]);
      const { map } = backing;
      backing.map = async (offset) => {
        const range = await map.call(backing, offset);
        if (range.kind !== 'compressed') throw new Error(range.kind);
        const { payloads } = range;
        return { ...range, payloads: { ...payloads, places: payloads.places.with(number, 1024) } };
      };
      const cluster = Math.floor(number / 2);
      const items = await expectExact(source, backing, 16);
      expect(items.map(({ changed }) => changed)).toEqual([[[cluster, cluster + 1]]]);
    },
  );
});

describe('an unreadable range', () => {
  const broken = [
    { kind: 'data', length: 6 },
    { kind: 'unreadable', length: 30 },
    { kind: 'data', length: 6 },
  ] as const;

  test('ends the plan without salvage, in the source and in the backing file', async () => {
    const sound = fake('sound', [{ kind: 'data', length: 42 }], 9);
    const error = { code: 'ERR_CORRUPT', file: 'broken', offset: 6 };
    await expect(itemsOf(fake('broken', broken, 8), sound)).rejects.toMatchObject(error);
    for (const onUnreadable of [undefined, () => {}]) {
      const items = itemsOf(sound, fake('broken', broken, 8), { onUnreadable });
      await expect(items).rejects.toMatchObject(error);
    }
  });

  test('of the source becomes zeros with salvage, and is reported once, in order', async () => {
    const kinds = ['zero', 'data', 'unreadable'] as const;
    await fc.assert(
      fc.asyncProperty(
        stretchesOf(kinds, 60),
        stretchesOf(['zero', 'data'], 60),
        fc.constantFrom(4, 16, 64),
        async (ours, theirs, itemSize) => {
          const source = fake('source', ours, 8);
          const told = Array.from({ length: source.size }, () => 0);
          let end = 0;
          const log = new UnreadableLog(({ guestOffset, length }) => {
            expect(guestOffset).toBeGreaterThanOrEqual(end);
            end = guestOffset + length;
            for (let byte = guestOffset; byte < end; byte += 1) told[byte]! += 1;
          });
          const onUnreadable = (stretch: UnreadableRange) => log.expect(stretch);
          const items = await itemsOf(source, fake('backing', theirs, 8), { itemSize, onUnreadable });
          log.end();
          const meanings = await meaningsOf(source);
          expect(told).toEqual(meanings.map((meaning) => (meaning.startsWith('unreadable') ? 1 : 0)));
          const zeros = ours.map(({ kind, length }) => ({
            kind: kind === 'unreadable' ? ('zero' as const) : kind,
            length,
          }));
          expect(items).toEqual(
            await itemsOf(fake('source', zeros, 8), fake('backing', theirs, 8), { itemSize }),
          );
        },
      ),
      { numRuns: tries(150) },
    );
  });
});
