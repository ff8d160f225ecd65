import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { planVerification } from '../../src/convert/plan-verification.js';
import type { MappedRange } from '../../src/image/source.js';
import type { PlannedComparison } from '../../src/workers/compare-items.js';
import { ITEM_BYTES } from '../../src/workers/plan.js';
import { FakeLayer, type LayerStretch, meaningsOf, stretchesOf } from '../image/fake-layer.js';
import { putSegments } from '../workers/planned-bytes.js';

type Kind = MappedRange['kind'];

function fake(list: readonly LayerStretch<Kind>[], descriptor: number) {
  return new FakeLayer<MappedRange>(`disk ${descriptor}`, list, descriptor);
}

type Disk = ReturnType<typeof fake>;

async function planned(
  source: Disk,
  target: Disk,
  size: number,
  salvage = false,
): Promise<PlannedComparison[]> {
  const items: PlannedComparison[] = [];
  const settings = { size, salvage, identityOf: (fd: number) => `file ${fd}` };
  for await (const item of planVerification(source, target, settings)) items.push(item);
  return items;
}

test('every byte not known to be equal is read from both disks', async () => {
  const kinds = ['zero', 'data', 'compressed'] as const;
  await fc.assert(
    fc.asyncProperty(stretchesOf(kinds), stretchesOf(kinds), fc.boolean(), async (a, b, inOneFile) => {
      const [source, target] = [fake(a, 7), fake(b, inOneFile ? 7 : 8)];
      const size = target.size;
      const items = await planned(source, target, size);
      const meanings = await Promise.all([source, target].map((disk) => meaningsOf(disk)));
      const meaningAt = (side: number, at: number) => meanings[side]![at] ?? 'zero';
      const read = new Map<number, readonly [string, string]>();
      for (const { guestOffset, length, stretches } of items) {
        expect(length).toBeLessThanOrEqual(ITEM_BYTES);
        for (const { at, length, segments } of stretches) {
          const sides = segments.map((side) => {
            const bytes: string[] = Array.from({ length }, () => 'zero');
            putSegments(side, { guestOffset: 0, length }, bytes);
            return bytes;
          });
          for (let i = 0; i < length; i += 1) read.set(guestOffset + at + i, [sides[0]![i]!, sides[1]![i]!]);
        }
      }
      for (let at = 0; at < size; at += 1) {
        const known = [meaningAt(0, at), meaningAt(1, at)] as const;
        const found = read.get(at);
        if (found === undefined) expect(known[0]).toBe(known[1]);
        else expect(found).toEqual(known);
      }
    }),
    { numRuns: 60 },
  );
});

describe('an unreadable range', () => {
  const MIB = 1024 * 1024;

  test('in the source is an error, and zeros with salvage', async () => {
    const source = fake(
      [
        { kind: 'data', length: MIB },
        { kind: 'unreadable', length: MIB },
      ],
      7,
    );
    const target = fake([{ kind: 'zero', length: 2 * MIB }], 8);
    await expect(planned(source, target, 2 * MIB)).rejects.toMatchObject({ name: 'Qcow2cError' });
    const [item] = await planned(source, target, 2 * MIB, true);
    expect(item?.stretches).toMatchObject([{ at: 0, length: MIB }]);
  });

  test('in the target is an error, with salvage too', async () => {
    const source = fake([{ kind: 'zero', length: MIB }], 7);
    const target = fake([{ kind: 'unreadable', length: MIB }], 8);
    await expect(planned(source, target, MIB, true)).rejects.toMatchObject({ name: 'Qcow2cError' });
  });
});

test('zeros of a tebibyte on both sides are one step', async () => {
  const size = 2 ** 40;
  const list = [
    { kind: 'zero', length: size - 512 },
    { kind: 'data', length: 512 },
  ] as const;
  const items = await planned(fake(list, 7), fake(list, 8), size);
  expect(items).toMatchObject([
    { guestOffset: size - ITEM_BYTES, stretches: [{ at: ITEM_BYTES - 512, length: 512 }] },
  ]);
});
