/** What pieces of a file are used for, in windows of any size. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Cells } from '../../src/map/cells.js';
import { type FileKind, USED_KINDS, type UsedKind } from '../../src/map/file-kinds.js';
import { FileUses, windowsOf } from '../../src/map/file-uses.js';

test('pieces are sectors, larger for large files, and clusters in several windows for very large ones', () => {
  expect(windowsOf(100, 65536, 1024)).toEqual({ pieceSize: 512, windowSize: 2 ** 19 });
  expect(windowsOf(2 ** 19 + 1, 65536, 1024)).toEqual({ pieceSize: 1024, windowSize: 2 ** 20 });
  expect(windowsOf(2 ** 40, 65536, 1024)).toEqual({ pieceSize: 65536, windowSize: 2 ** 26 });
  expect(windowsOf(2 ** 40, 512, 1024)).toEqual({ pieceSize: 512, windowSize: 2 ** 19 });
  expect(windowsOf(2 ** 40, 2 ** 21, 1024)).toEqual({ pieceSize: 2 ** 21, windowSize: 2 ** 31 });
});

test('windows of any size give the same sums as one array of sectors, and nothing counts twice', () => {
  const SIZE = 40 * 512 + 100;
  const range = fc.tuple(
    fc.constantFrom<UsedKind>('header', 'data', 'compressed', 'slack', 'leaked'),
    fc.nat(SIZE + 2000),
    fc.integer({ min: 1, max: 5000 }),
    fc.boolean(),
  );
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), fc.integer({ min: 1, max: 50 }), (ranges, sectors) => {
      const expected: (UsedKind | undefined)[] = Array.from({ length: Math.ceil(SIZE / 512) });
      for (const [kind, start, length, onlyFree] of ranges) {
        for (let at = Math.floor(start / 512); at * 512 < Math.min(SIZE, start + length); at += 1) {
          if (!onlyFree || expected[at] === undefined) expected[at] = kind;
        }
      }
      const cells = new Cells<FileKind>(0, SIZE, 1024);
      for (let from = 0; from < SIZE; from += sectors * 512) {
        const uses = new FileUses(from, Math.min(SIZE, from + sectors * 512), 512);
        for (const [kind, start, length, onlyFree] of ranges) {
          if (onlyFree) uses.addToFree(kind, start, length);
          else uses.add(kind, start, length);
        }
        uses.addTo(cells);
        const isFree = (at: number) => at >= expected.length || expected[at] === undefined;
        expect(uses.isFree(from, 512)).toBe(isFree(from / 512));
      }
      const bytesOf = (at: number) => Math.min(512, SIZE - at * 512);
      for (const kind of USED_KINDS) {
        const bytes = expected.reduce((sum, found, at) => sum + (found === kind ? bytesOf(at) : 0), 0);
        expect(cells.total(kind)).toBeCloseTo(bytes, 6);
      }
    }),
  );
});
