/** Which clusters an incremental image stores, for a bitmap of any granularity. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ChangedClusters, refuseLargerBacking } from '../../src/convert/changed-clusters.js';
import { planOverlay } from '../../src/convert/plan-overlay.js';
import type { ChangeMap, MappedRange } from '../../src/image/source.js';
import { FakeLayer, type LayerStretch, stretchesOf } from '../image/fake-layer.js';
import { tries } from '../stage.js';

const CLUSTER = 4;
const ITEM = 16;

/** A bitmap from one answer a byte; neighbouring answers are not always joined. */
function bitmapOf(bytes: readonly boolean[], longest: number): ChangeMap {
  return {
    changesAt: async (offset) => {
      const isChanged = bytes[offset] ?? false;
      let length = 1;
      while (length < longest && (bytes[offset + length] ?? false) === isChanged) length += 1;
      return { length, isChanged };
    },
  };
}

const fake = (list: readonly LayerStretch<MappedRange['kind']>[]) => new FakeLayer<MappedRange>('disk', list);

test('a cluster is stored if the bitmap lists one of its bytes, or if the backing file ends in or before it', async () => {
  const kinds = ['data', 'zero', 'compressed', 'unreadable'] as const;
  const bytes = fc.array(fc.record({ length: fc.integer({ min: 1, max: 9 }), isChanged: fc.boolean() }), {
    maxLength: 30,
  });
  await fc.assert(
    fc.asyncProperty(
      stretchesOf(kinds),
      bytes,
      fc.nat(200),
      fc.integer({ min: 1, max: 50 }),
      async (list, runs, less, longest) => {
        const source = fake(list);
        const { size } = source;
        const backing = fake([{ kind: 'data', length: Math.max(0, size - (less % 3 === 0 ? 0 : less)) }]);
        const bits = runs.flatMap(({ length, isChanged }) => Array<boolean>(length).fill(isChanged));
        const changed = new ChangedClusters(() => bitmapOf(bits, longest), source, backing, CLUSTER);
        const ranges: MappedRange['kind'][] = list.flatMap(({ kind, length }) =>
          Array<MappedRange['kind']>(length).fill(kind),
        );
        const expected: number[] = [];
        for (let at = 0; at < size; at += CLUSTER) {
          const end = Math.min(at + CLUSTER, size);
          const isListed = bits.slice(at, end).includes(true);
          const isGrown = end > backing.size;
          const isNewHole =
            at >= backing.size &&
            ranges.slice(at, end).every((kind) => kind === 'zero' || kind === 'unreadable');
          if ((isListed && at < backing.size) || (isGrown && !isNewHole)) expected.push(at / CLUSTER);
        }
        const asked = new Set(expected);
        const stored: number[] = [];
        const lost: number[] = [];
        const settings = {
          clusterSize: CLUSTER,
          itemSize: ITEM,
          changed,
          onUnreadable: ({ guestOffset }: { guestOffset: number }) => void lost.push(guestOffset),
        };
        for await (const item of planOverlay(source, backing, settings, String)) {
          expect(item.backing).toBeUndefined();
          for (const [from, to] of item.changed ?? []) {
            for (let index = from; index < to; index += 1) stored.push(item.guestOffset / CLUSTER + index);
          }
          for (const { at } of item.segments) {
            expect(asked.has(Math.floor((item.guestOffset + at) / CLUSTER))).toBe(true);
          }
        }
        expect(stored).toEqual(expected);
        // Nothing is asked about the rest, so an unreadable range there is no error.
        for (const at of lost) expect(asked.has(Math.floor(at / CLUSTER)) || at >= backing.size).toBe(true);
        expect(backing.asked).toEqual([]);
      },
    ),
    { numRuns: tries(400) },
  );
});

test('clusters are compared with the backing file on request, and only those of the bitmap', async () => {
  const source = fake([{ kind: 'data', length: 32 }]);
  const backing = new FakeLayer<MappedRange>('other', [{ kind: 'data', length: 32 }], 5);
  const bits = Array.from({ length: 32 }, (_, byte) => byte === 9);
  const changed = new ChangedClusters(() => bitmapOf(bits, 32), source, backing, CLUSTER);
  const settings = { clusterSize: CLUSTER, itemSize: ITEM, changed, compareWithBacking: true };
  const items = [];
  for await (const item of planOverlay(source, backing, settings, String)) items.push(item);
  expect(items).toMatchObject([{ guestOffset: 0, changed: [[2, 3]], backing: [{ at: 8, length: 4 }] }]);
});

test('walks at the same time each read the bitmap from start to end', async () => {
  const disk = { name: 'disk', size: 4096 };
  const asked: number[][] = [];
  const open = (): ChangeMap => {
    const own: number[] = [];
    asked.push(own);
    return {
      changesAt: async (offset) => {
        own.push(offset);
        return { length: 256, isChanged: offset % 512 === 0 };
      },
    };
  };
  const one = new ChangedClusters(open, disk, disk, CLUSTER);
  const other = one.forAnotherWalk();
  for (let at = 0; at < 4096; at += 512) {
    await other.at(at + 256);
    await one.at(at / 2);
  }
  expect(asked).toHaveLength(2);
  for (const own of asked) expect(own).toEqual([...own].sort((a, b) => a - b));
});

test('a backing file that is larger than the disk is refused', () => {
  const disk = { name: 'disk', size: 512 };
  expect(() => refuseLargerBacking(disk, { name: 'full', size: 512 })).not.toThrow();
  expect(() => refuseLargerBacking(disk, { name: 'full', size: 1024 })).toThrow(
    expect.objectContaining({ code: 'ERR_USAGE', file: 'full', expected: 512, found: 1024 }),
  );
});
