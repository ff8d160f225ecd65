import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ContentDigest } from '../../src/convert/content-digest.js';
import { ITEM_BYTES } from '../../src/workers/plan.js';

type Stretches = ReadonlyMap<number, Uint8Array>;

/** The digest of a disk that has these bytes at the start of its stretches, by their index. */
function digestOf(stretches: Stretches, count: number): ContentDigest {
  const digest = new ContentDigest();
  for (const [index, bytes] of [...stretches].sort(([a], [b]) => a - b))
    digest.add(index * ITEM_BYTES, bytes);
  digest.end(count * ITEM_BYTES);
  return digest;
}

const someBytes = fc.uint8Array({ minLength: 1, maxLength: 6 });
const disks = (most: number) =>
  fc
    .uniqueArray(fc.tuple(fc.nat(most - 1), someBytes), { selector: ([index]) => index, maxLength: 12 })
    .map((entries) => new Map(entries));

/** Twice as many as are kept, and more: neighbours are joined, twice at the end. */
const SIZES = [1, 5, 4095, 4096, 4097, 8192, 20_001];

describe.each(SIZES)('of a disk of %d stretches', (count) => {
  test('zeros may be passed or omitted, at the end of a stretch or for a whole one', () => {
    fc.assert(
      fc.property(disks(count), disks(count), (disk, zeros) => {
        const padded = new Map<number, Uint8Array>(
          [...zeros.keys()].map((index) => [index, new Uint8Array(5000)]),
        );
        for (const [index, bytes] of disk) {
          const longer = new Uint8Array(9000);
          longer.set(bytes);
          padded.set(index, longer);
        }
        expect(digestOf(disk, count).firstDifference(digestOf(padded, count))).toBeUndefined();
      }),
      { numRuns: 15 },
    );
  });

  test('the reported range contains the first different stretch', () => {
    fc.assert(
      fc.property(disks(count), fc.nat(count - 1), someBytes, (disk, changed, bytes) => {
        const other = new Map(disk).set(
          changed,
          Uint8Array.from([1, ...bytes, 1, ...(disk.get(changed) ?? [])]),
        );
        const range = digestOf(disk, count).firstDifference(digestOf(other, count))!;
        expect(range.guestOffset).toBeLessThanOrEqual(changed * ITEM_BYTES);
        expect(range.guestOffset + range.length).toBeGreaterThan(changed * ITEM_BYTES);
        // At least 2048 ranges to a disk that has as many stretches.
        expect(range.length).toBeLessThanOrEqual(ITEM_BYTES * Math.max(1, count / 1024));
      }),
      { numRuns: 15 },
    );
  });
});

test('swapped stretches are detected', () => {
  const [a, b] = [Uint8Array.of(1), Uint8Array.of(2)];
  for (const count of [2, 9000]) {
    const one = digestOf(
      new Map([
        [0, a],
        [1, b],
      ]),
      count,
    );
    const other = digestOf(
      new Map([
        [0, b],
        [1, a],
      ]),
      count,
    );
    expect(one.firstDifference(other)?.guestOffset).toBe(0);
  }
});
