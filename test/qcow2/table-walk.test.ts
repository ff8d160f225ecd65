/** Tables of several states in parallel: shared tables come once, unreadable ones are reported, memory is bounded. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Qcow2cError } from '../../src/errors.js';
import { type L1Table, type LostPiece, type TablePiece, walkTables } from '../../src/qcow2/table-walk.js';

const BITS = 9;
const CLUSTER = 2 ** BITS;
const L2_ENTRIES = CLUSTER / 8;
const REACH = CLUSTER * L2_ENTRIES;
const COPIED = 1n << 63n;

/** A file of clusters, some of which cannot be read. */
class TableFile {
  readonly name = 'x.qcow2';
  readonly bytes: Buffer;
  failsAt: number | undefined;

  constructor(clusters: number) {
    this.bytes = Buffer.alloc(clusters * CLUSTER);
  }

  set(at: number, value: bigint): void {
    this.bytes.writeBigUInt64BE(value, at);
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    if (this.failsAt !== undefined && this.failsAt >= offset && this.failsAt < offset + into.length) {
      throw new Qcow2cError('ERR_IO', 'a bad sector');
    }
    return this.bytes.copy(into, 0, Math.min(offset, this.bytes.length));
  }
}

/** Every piece, with the entries of its tables as they were when it came. */
async function walk(file: TableFile, states: readonly L1Table[], extendedL2 = false) {
  const pieces: (LostPiece | (TablePiece & { readonly entries: bigint[][] }))[] = [];
  for await (const piece of walkTables(file, { clusterBits: BITS, extendedL2 }, states)) {
    if (piece.kind === 'lost') pieces.push(piece);
    else {
      const words = (piece.count * (extendedL2 ? 16 : 8)) / 8;
      const entries = piece.tables.map(({ view }) =>
        Array.from({ length: words }, (_, index) => view.getBigUint64(index * 8)),
      );
      pieces.push({ ...piece, entries });
    }
  }
  return pieces;
}

test('each state sees its own tables, in guest order, and a shared table comes once', async () => {
  const tableChoice = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined });
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(tableChoice, { maxLength: 6 }), { minLength: 1, maxLength: 5 }),
      async (choices) => {
        // Six L2 tables, then an L1 table of one cluster for each state.
        const file = new TableFile(7 + choices.length);
        const l2Offset = (table: number) => (1 + table) * CLUSTER;
        for (let table = 0; table < 6; table += 1) {
          for (let entry = 0; entry < L2_ENTRIES; entry += 1) {
            file.set(l2Offset(table) + entry * 8, BigInt(1000 * (table + 1) + entry));
          }
        }
        const states = choices.map((tables, state) => {
          const l1Offset = (7 + state) * CLUSTER;
          for (const [index, table] of tables.entries()) {
            if (table !== undefined) file.set(l1Offset + index * 8, COPIED | BigInt(l2Offset(table)));
          }
          return { l1Offset, l1Entries: tables.length };
        });
        const expected: unknown[] = [];
        for (let index = 0; index < 6; index += 1) {
          const firstStates = new Map<number, number>();
          for (const [state, tables] of choices.entries()) {
            const table = tables[index];
            if (table !== undefined && !firstStates.has(table)) firstStates.set(table, state);
          }
          if (firstStates.size === 0) continue;
          expected.push({
            guest: index * REACH,
            tables: [...firstStates].map(([table, state]) => [state, BigInt(1000 * (table + 1))]),
          });
        }
        const pieces = await walk(file, states);
        expect(
          pieces.map((piece) => {
            if (piece.kind === 'lost') return piece;
            expect(piece.count).toBe(L2_ENTRIES);
            return {
              guest: piece.guest,
              tables: piece.tables.map(({ state }, index) => [state, piece.entries[index]![0]]),
            };
          }),
        ).toEqual(expected);
        for (const piece of pieces) {
          if (piece.kind === 'lost') continue;
          for (const entries of piece.entries) {
            const [first = 0n] = entries;
            expect(entries).toEqual(Array.from({ length: L2_ENTRIES }, (_, index) => first + BigInt(index)));
          }
        }
      },
    ),
    { numRuns: 100 },
  );
});

test('thousands of states with tables of their own are visited in pieces small enough for all', async () => {
  const count = 5000;
  const file = new TableFile(1 + 2 * count);
  const states = Array.from({ length: count }, (_, state) => {
    const l1Offset = (1 + state) * CLUSTER;
    const table = (1 + count + state) * CLUSTER;
    file.set(l1Offset, BigInt(table));
    for (let entry = 0; entry < L2_ENTRIES; entry += 1) file.set(table + entry * 8, BigInt(state + 1));
    return { l1Offset, l1Entries: 1 };
  });
  let next = 0;
  for await (const piece of walkTables(file, { clusterBits: BITS, extendedL2: false }, states)) {
    if (piece.kind === 'lost') throw piece.error;
    expect(piece.guest).toBe(next);
    next += piece.count * CLUSTER;
    expect(piece.tables.length).toBe(count);
    expect(piece.tables.reduce((sum, { view }) => sum + view.byteLength, 0)).toBeLessThanOrEqual(2 ** 20);
    expect(piece.tables.every(({ state, view }) => view.getBigUint64(0) === BigInt(state + 1))).toBe(true);
  }
  expect(next).toBe(REACH);
});

test('an invalid entry is lost without an error, and the others are not', async () => {
  const file = new TableFile(4);
  file.set(CLUSTER, 1n << 55n);
  file.set(CLUSTER + 8, BigInt(2 * CLUSTER));
  // With clusters of 512 bytes every offset that fits into an entry is aligned: twice as large ones are not.
  const lost = { kind: 'lost', guest: 0, length: REACH, state: 0, offset: CLUSTER, error: undefined };
  expect(await walk(file, [{ l1Offset: CLUSTER, l1Entries: 2 }])).toMatchObject([lost, { guest: REACH }]);
  file.bytes.fill(0);
  file.set(2 * CLUSTER, BigInt(3 * CLUSTER));
  const walked = walkTables(file, { clusterBits: BITS + 1, extendedL2: false }, [
    { l1Offset: 2 * CLUSTER, l1Entries: 1 },
  ]);
  expect((await walked.next()).value).toMatchObject({ kind: 'lost', error: undefined });
});

test('an L2 table that the file cuts off is lost from there on', async () => {
  const file = new TableFile(2);
  file.set(CLUSTER, BigInt(2 * CLUSTER));
  const table = Buffer.alloc(10 * 8 + 3, 7);
  const cut = new TableFile(2);
  Object.assign(cut, { bytes: Buffer.concat([file.bytes, table]) });
  const pieces = await walk(cut, [{ l1Offset: CLUSTER, l1Entries: 1 }]);
  const seven = 0x0707070707070707n;
  expect(pieces).toMatchObject([
    {
      kind: 'entries',
      entries: [[...new Array<bigint>(10).fill(seven), ...new Array<bigint>(L2_ENTRIES - 10).fill(0n)]],
    },
    {
      ...{ kind: 'lost', guest: 10 * CLUSTER, length: REACH - 10 * CLUSTER, state: 0 },
      ...{ offset: 2 * CLUSTER + 80, error: { code: 'ERR_CORRUPT' } },
    },
  ]);
});

test('an L1 table that the file cuts off is lost from there on, in order', async () => {
  const file = new TableFile(3);
  file.set(2 * CLUSTER, BigInt(CLUSTER));
  const pieces = await walk(file, [{ l1Offset: 2 * CLUSTER, l1Entries: L2_ENTRIES + 5 }]);
  expect(pieces).toMatchObject([
    { kind: 'entries', guest: 0 },
    {
      ...{ kind: 'lost', guest: L2_ENTRIES * REACH, length: 5 * REACH },
      ...{ offset: 3 * CLUSTER, error: { code: 'ERR_CORRUPT' } },
    },
  ]);
});

test('a table that cannot be read is lost, and those of other states are not', async () => {
  const clusters = 300;
  const file = new TableFile(clusters);
  const [near, far] = [2 * CLUSTER, (clusters - 1) * CLUSTER];
  file.set(CLUSTER, BigInt(far));
  file.set(CLUSTER + 8, BigInt(near));
  file.set(near, 5n);
  file.failsAt = far;
  const pieces = await walk(file, [
    { l1Offset: CLUSTER, l1Entries: 1 },
    { l1Offset: CLUSTER + 8, l1Entries: 1 },
  ]);
  expect(pieces).toMatchObject([
    {
      kind: 'entries',
      tables: [{ state: 0 }, { state: 1 }],
      entries: [new Array<bigint>(L2_ENTRIES).fill(0n), [5n, ...new Array<bigint>(L2_ENTRIES - 1).fill(0n)]],
    },
    { kind: 'lost', guest: 0, length: REACH, state: 0, offset: far, error: { code: 'ERR_IO' } },
  ]);
});

test('extended entries are not split', async () => {
  const file = new TableFile(3);
  file.set(CLUSTER, BigInt(2 * CLUSTER));
  for (let word = 0; word < L2_ENTRIES; word += 1) file.set(2 * CLUSTER + word * 8, BigInt(word));
  const [piece] = await walk(file, [{ l1Offset: CLUSTER, l1Entries: 1 }], true);
  expect(piece).toMatchObject({ guest: 0, count: L2_ENTRIES / 2 });
  expect((piece as { entries: bigint[][] }).entries[0]).toEqual(
    Array.from({ length: L2_ENTRIES }, (_, word) => BigInt(word)),
  );
});

test('an error not caused by the file ends the walk', async () => {
  const file = { name: 'x', read: () => Promise.reject(new TypeError('a defect')) };
  const walked = walkTables(file, { clusterBits: BITS, extendedL2: false }, [{ l1Offset: 0, l1Entries: 1 }]);
  await expect(walked.next()).rejects.toThrow('a defect');
});
