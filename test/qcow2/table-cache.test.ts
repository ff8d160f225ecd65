import fc from 'fast-check';
import { expect, test } from 'vitest';
import { entriesTogether, TableCache } from '../../src/qcow2/table-cache.js';
import { MemoryHostFile } from '../image/memory-host-file.js';

const PIECE = 65_536;

/** A file whose words count up, so that each identifies its offset. */
function numbered(length: number): MemoryHostFile {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at + 8 <= length; at += 8) bytes.writeBigUInt64BE(BigInt(at), at);
  return new MemoryHostFile('x.qcow2', bytes, 5, [], length);
}

test('every entry is found at its offset, after any other reads and for any file length', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 6 * PIECE }),
      fc.constantFrom(8, 16),
      fc.array(fc.integer({ min: 0, max: 7 * PIECE }), { minLength: 1, maxLength: 30 }),
      async (length, entryBytes, places) => {
        const file = numbered(length);
        const cache = new TableCache(file);
        for (const place of places) {
          const offset = place - (place % entryBytes);
          const reading = cache.entriesFrom(offset, entryBytes);
          if (offset + entryBytes > length) {
            await expect(reading).rejects.toMatchObject({
              code: 'ERR_CORRUPT',
              file: 'x.qcow2',
              offset,
              expected: offset + entryBytes,
            });
            continue;
          }
          const { view, at, count } = await reading;
          expect(count).toBeGreaterThan(0);
          expect(count).toBeLessThanOrEqual(entriesTogether(offset, entryBytes));
          for (const index of [0, count - 1]) {
            const here = offset + index * entryBytes;
            expect(view.getBigUint64(at + index * entryBytes + entryBytes - 8)).toBe(
              BigInt(here + entryBytes - 8),
            );
          }
          // The next entry is in another piece, or not in the file.
          const next = offset + count * entryBytes;
          expect(next % PIECE === 0 || next + entryBytes > length).toBe(true);
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('memory does not grow with the tables: four pieces, the least recently used goes first', async () => {
  const file = numbered(20 * PIECE);
  const cache = new TableCache(file);
  const read = async (...pieces: number[]) => {
    file.reads.length = 0;
    for (const index of pieces) await cache.entriesFrom(index * PIECE + 8, 8);
    return file.reads.map((offset) => offset / PIECE);
  };
  expect(await read(0, 1, 2, 3)).toEqual([0, 1, 2, 3]);
  expect(await read(0, 0, 3, 2, 1, 0)).toEqual([]);
  expect(await read(4)).toEqual([4]);
  // 3 was used longest ago.
  expect(await read(0, 1, 2, 4)).toEqual([]);
  expect(await read(3)).toEqual([3]);
  // One piece of the L1 table and those of L2 tables in turn, as a sequential reader needs them.
  expect(await read(...Array.from({ length: 10 }, (_, index) => [0, 5 + index]).flat())).toEqual([
    0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
  ]);
});

test('an error is not cached: the next call reads again', async () => {
  const file = numbered(PIECE);
  const cache = new TableCache(file);
  const { read } = file;
  file.read = () => Promise.reject(new Error('EIO'));
  await expect(cache.entriesFrom(0, 8)).rejects.toThrow('EIO');
  file.read = read;
  expect((await cache.entriesFrom(8, 8)).count).toBe(8191);
});
