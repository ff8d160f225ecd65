import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { DiskRangeStatus } from '../../src/compare/comparison-status.js';
import type { Verdict } from '../../src/compare/options.js';
import { type Disk, planComparison } from '../../src/compare/plan-comparison.js';
import type { MappedRange } from '../../src/image/source.js';
import type { PlannedComparison } from '../../src/workers/compare-items.js';
import { FakeLayer, type LayerStretch, meaningsOf, stretchesOf, unreadable } from '../image/fake-layer.js';
import { tries } from '../stage.js';
import { putSegments } from '../workers/planned-bytes.js';

const MIB = 2 ** 20;
const TIB = 2 ** 40;
const ZERO = 0x02 | 0x10;
const DATA = 0x01 | 0x10;

type Kind = MappedRange['kind'];

interface FakeDisk extends Disk {
  readonly source: FakeLayer<MappedRange>;
}

/** A disk whose status is what its map says; the same descriptor is the same file. */
function fake(list: readonly LayerStretch<Kind>[], descriptor: number): FakeDisk {
  const source = new FakeLayer<MappedRange>(`disk ${descriptor}`, list, descriptor);
  const statuses = new FakeLayer<MappedRange>(`disk ${descriptor}`, list, descriptor);
  return {
    source,
    async statusAt(offset): Promise<DiskRangeStatus> {
      const { kind, length } = await statuses.map(offset);
      return { bits: kind === 'zero' ? ZERO : DATA, length };
    },
  };
}

async function planned(one: Disk, other: Disk, strict = false) {
  const items: PlannedComparison[] = [];
  const plan = planComparison([one, other], strict, (fd) => `file ${fd}`);
  for (;;) {
    const { done, value } = await plan.next();
    if (done) return { items, verdict: value as Verdict };
    items.push(value);
  }
}

const zeros = (length: number): LayerStretch<'zero'> => ({ kind: 'zero', length });
const data = (length: number): LayerStretch<'data'> => ({ kind: 'data', length });

describe('the compared part', () => {
  test('is every byte not known to be equal, once, with the segments of both disks', async () => {
    const kinds = ['zero', 'data', 'compressed'] as const;
    await fc.assert(
      fc.asyncProperty(stretchesOf(kinds), stretchesOf(kinds), fc.boolean(), async (a, b, inOneFile) => {
        const [one, other] = [fake(a, 7), fake(b, inOneFile ? 7 : 8)];
        const { items, verdict } = await planned(one, other);
        expect(verdict).toEqual({ kind: 'identical' });
        const size = Math.max(one.source.size, other.source.size);
        const meanings = await Promise.all(
          [one, other].map(async ({ source }) => {
            const known = await meaningsOf(source);
            return Array.from({ length: size }, (_, byte) => known[byte] ?? 'zero');
          }),
        );
        const seen = [0, 1].map(() => Array.from({ length: size }, () => 'not read'));
        let end = 0;
        for (const { guestOffset, length, stretches } of items) {
          for (const { at, length: bytes, segments } of stretches) {
            const start = guestOffset + at;
            expect(start).toBeGreaterThanOrEqual(end);
            end = start + bytes;
            expect(end).toBeLessThanOrEqual(guestOffset + length);
            for (const side of [0, 1] as const) {
              seen[side]?.fill('zero', start, end);
              putSegments(segments[side], { guestOffset: start, length: bytes }, seen[side] ?? []);
            }
          }
        }
        for (let byte = 0; byte < size; byte += 1) {
          const [ours, theirs] = meanings.map((all) => all[byte]);
          const read = seen.map((all) => all[byte]);
          if (read[0] === 'not read') expect(ours, `byte ${byte}`).toBe(theirs);
          else expect(read).toEqual([ours, theirs]);
        }
      }),
      { numRuns: tries(300) },
    );
  });

  test('is empty for a disk and itself, however large, and for two empty disks', async () => {
    const list = [data(3 * MIB), zeros(TIB), data(TIB + 512)] as const;
    const [one, other] = [fake(list, 7), fake(list, 7)];
    expect(await planned(one, other)).toEqual({ items: [], verdict: { kind: 'identical' } });
    expect(one.source.asked.length).toBeLessThan(20);
    expect(await planned(fake([zeros(TIB)], 7), fake([zeros(2 * TIB)], 8))).toEqual({
      items: [],
      verdict: { kind: 'identical' },
    });
    expect((await planned(fake([], 7), fake([], 8))).items).toEqual([]);
  });

  test('comes in steps and items of up to 2 MiB', async () => {
    const one = [zeros(512), data(5 * MIB), zeros(MIB), data(MIB), zeros(TIB), data(512), data(512)];
    const { items } = await planned(fake(one, 7), fake([zeros(2 * TIB)], 8));
    const found = items.map(({ guestOffset, length, stretches }) => [
      guestOffset,
      length,
      stretches.map((stretch) => [stretch.at, stretch.length]),
    ]);
    expect(found).toEqual([
      [512, 2 * MIB, [[0, 2 * MIB]]],
      [512 + 2 * MIB, 2 * MIB, [[0, 2 * MIB]]],
      [512 + 4 * MIB, MIB, [[0, MIB]]],
      [512 + 6 * MIB, MIB, [[0, MIB]]],
      [
        512 + 7 * MIB + TIB,
        1024,
        [
          [0, 512],
          [512, 512],
        ],
      ],
    ]);
  });

  test('continues after equal bytes of one file at a multiple of 2 MiB from their start', async () => {
    const one = fake([data(5 * MIB), data(MIB)], 7);
    const other = fake([data(5 * MIB), zeros(MIB)], 7);
    const statusAt = async (at: number) => ({ bits: DATA, length: 6 * MIB - at });
    const { items } = await planned({ ...one, statusAt }, { ...other, statusAt });
    expect(items.map(({ guestOffset, length }) => [guestOffset, length])).toEqual([[4 * MIB, 2 * MIB]]);
  });
});

describe('the plan ends early', () => {
  const error = unreadable('disk 7', 1024);
  const before = [data(1024)];

  test('where a map cannot be read, after all items before it', async () => {
    const lost = fake([...before, { kind: 'unreadable', length: 512 }, data(512)], 7);
    for (const strict of [false, true]) {
      const { items, verdict } = await planned(lost, fake([data(2048)], 8), strict);
      expect(items.map(({ guestOffset, length }) => [guestOffset, length])).toEqual([[0, 1024]]);
      expect(verdict).toEqual({ kind: 'unreadable', side: 0, offset: 1024, error });
    }
    const { verdict } = await planned(fake([zeros(2048)], 8), lost);
    expect(verdict).toMatchObject({ kind: 'unreadable', side: 1, offset: 1024 });
  });

  test('where a status is unknown, also after the end of the other disk', async () => {
    const disk = fake([...before, zeros(1024)], 7);
    const statusAt = (at: number) => (at < 1024 ? disk.statusAt(at) : Promise.reject(error));
    const lost = { ...disk, statusAt };
    const verdict = { kind: 'unknown-allocation', side: 1, offset: 1024, error };
    expect((await planned(fake([zeros(4096)], 8), lost)).verdict).toEqual(verdict);
    expect(await planned(fake([zeros(1024)], 8), lost)).toMatchObject({ items: [{ length: 1024 }], verdict });
  });

  test('in strict mode, where two statuses differ although the bytes are equal', async () => {
    const [one, other] = [fake([...before, zeros(1024)], 7), fake([...before, zeros(1024)], 8)];
    const statusAt = async (at: number) => ({ bits: at < 1024 ? DATA : ZERO | 0x04, length: 1024 });
    const { items, verdict } = await planned(one, { ...other, statusAt }, true);
    expect(items.length).toBe(1);
    expect(verdict).toEqual({ kind: 'different-allocation', offset: 1024 });
    expect((await planned(one, { ...other, statusAt }, false)).verdict).toEqual({ kind: 'identical' });
  });

  test('with an internal error', async () => {
    const disk = fake(before, 7);
    const broken = { ...disk, statusAt: () => Promise.reject(new TypeError('no')) };
    await expect(planned(disk, broken)).rejects.toThrow(TypeError);
  });
});
