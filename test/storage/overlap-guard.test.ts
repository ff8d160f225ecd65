/** Every write that would damage a table is refused before any byte is written. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { payload, useRecordingStorage } from './recording-storage.js';

const RESERVED = 4096;
const recordingStorage = useRecordingStorage();

/** A guard with a header of one block and tables at [20000, 24000) and [40000, 44000). */
async function guarded() {
  const storage = recordingStorage({ alignment: 1 });
  const guard = new OverlapGuard(storage, RESERVED);
  for (const offset of [20_000, 40_000]) {
    guard.reserve(offset, 4000);
    await guard.writeTables(offset, [payload(4000)]);
  }
  return { storage, guard, before: storage.writes.length };
}

/** Writes that touch a protected part, from each side. */
const FORBIDDEN: readonly (readonly [string, number, number])[] = [
  ['the first byte of the header', 0, 1],
  ['the last byte of the header', RESERVED - 1, 10],
  ['the first byte of a table', 19_990, 11],
  ['the last byte of a table', 23_999, 100],
  ['the middle of a table', 21_000, 5],
  ['a table exactly', 40_000, 4000],
  ['a whole table and bytes on both sides', 39_000, 6000],
  ['two tables', 20_500, 22_000],
  ['everything', 0, 50_000],
];

describe('payload', () => {
  test.each(FORBIDDEN)('over %s is refused before anything is written', async (_, offset, length) => {
    const { storage, guard, before } = await guarded();
    await expect(guard.write(offset, [payload(length)])).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
      file: 'recording',
      offset,
    });
    expect(storage.writes).toHaveLength(before);
  });

  test.each([
    ['right after the header', RESERVED, 100],
    ['right before a table', 19_000, 1000],
    ['right after a table', 24_000, 16_000],
    ['far away', 2 ** 40, 100],
  ])('%s is written, and may be written again', async (_, offset, length) => {
    const { storage, guard, before } = await guarded();
    await guard.write(offset, [payload(length)]);
    await guard.write(offset, [payload(length)]);
    expect(storage.writes).toHaveLength(before + 2);
  });

  test('in several buffers is checked with their total length', async () => {
    const { storage, guard, before } = await guarded();
    const buffers = [payload(500), payload(500), payload(1)];
    await expect(guard.write(19_000, buffers)).rejects.toThrow('a write of 1001 bytes at offset 19000');
    await guard.write(19_000, buffers.slice(0, 2));
    expect(storage.writes).toHaveLength(before + 1);
  });
});

describe('tables', () => {
  test.each(FORBIDDEN)('over %s are refused before anything is written', async (_, offset, length) => {
    const { storage, guard, before } = await guarded();
    expect(() => guard.reserve(offset, length)).toThrow(expect.objectContaining({ code: 'ERR_INTERNAL' }));
    await expect(guard.writeTables(offset, [payload(length)])).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
    });
    expect(storage.writes).toHaveLength(before);
  });

  test('are protected once their space is reserved, before they are written', async () => {
    const { storage, guard, before } = await guarded();
    guard.reserve(60_000, 1000);
    await expect(guard.write(60_500, [payload(1)])).rejects.toThrow('overwrite a table');
    await guard.write(61_000, [payload(1)]);
    await guard.writeTables(60_000, [payload(1000)]);
    await expect(guard.write(60_500, [payload(1)])).rejects.toThrow('overwrite a table');
    expect(storage.writes).toHaveLength(before + 2);
  });

  test.each([
    ['before their space', 59_999, 100],
    ['after their space', 60_901, 100],
    ['in unreserved space', 70_000, 10],
  ])('%s are refused before anything is written', async (_, offset, length) => {
    const { storage, guard, before } = await guarded();
    guard.reserve(60_000, 1000);
    await expect(guard.writeTables(offset, [payload(length)])).rejects.toMatchObject({
      code: 'ERR_INTERNAL',
      file: 'recording',
      offset,
    });
    expect(storage.writes).toHaveLength(before);
  });

  test('are not written to a protected part', async () => {
    const { storage, guard, before } = await guarded();
    guard.protect([{ offset: 60_000, length: 1000 }]);
    await expect(guard.writeTables(60_000, [payload(100)])).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    await expect(guard.write(60_500, [payload(100)])).rejects.toThrow('overwrite a table');
    expect(storage.writes).toHaveLength(before);
  });

  test('fill their space in parts and in any order, each part once', async () => {
    const { storage, guard, before } = await guarded();
    for (const offset of [60_000, 60_500]) guard.reserve(offset, 500);
    await guard.writeTables(60_400, [payload(200)]);
    await guard.writeTables(60_000, [payload(400)]);
    await expect(guard.writeTables(60_599, [payload(100)])).rejects.toMatchObject({ code: 'ERR_INTERNAL' });
    expect(storage.writes).toHaveLength(before + 2);
  });

  test('are protected while their write is in flight, and after it has failed', async () => {
    const { storage, guard, before } = await guarded();
    guard.reserve(60_000, 100);
    storage.hold();
    const writing = guard.writeTables(60_000, [payload(100)]);
    await expect(guard.write(60_050, [payload(10)])).rejects.toThrow('overwrite a table');
    storage.release(storage.writes[before], { error: new Error('no space'), taken: 0 });
    await expect(writing).rejects.toThrow('no space');
    await expect(guard.write(60_050, [payload(10)])).rejects.toThrow('overwrite a table');
  });
});

describe('the header', () => {
  test('may be written more than once, in its space', async () => {
    const { storage, guard, before } = await guarded();
    await guard.writeHeader([payload(100)]);
    await guard.writeHeader([payload(RESERVED)]);
    expect(storage.writes.slice(before)).toMatchObject([{ offset: 0 }, { offset: 0, length: RESERVED }]);
  });

  test('longer than its reserved space is refused, also if a table follows directly', async () => {
    const { storage, guard } = await guarded();
    await expect(guard.writeHeader([payload(RESERVED + 1)])).rejects.toThrow(
      'longer than its reserved space',
    );
    guard.reserve(RESERVED, 1000);
    await guard.writeTables(RESERVED, [payload(1000)]);
    const { length } = storage.writes;
    await expect(guard.writeHeader([payload(RESERVED), payload(1)])).rejects.toThrow(
      'longer than its reserved space',
    );
    expect(storage.writes).toHaveLength(length);
  });
});

describe('the guard', () => {
  test('passes exactly the writes that touch no table, in any order of writes and tables', async () => {
    const place = fc.record({
      table: fc.boolean(),
      offset: fc.nat(300),
      length: fc.integer({ min: 1, max: 60 }),
    });
    const property = fc.asyncProperty(
      fc.nat(50),
      fc.array(place, { maxLength: 25 }),
      async (reserved, all) => {
        const storage = recordingStorage({ alignment: 1 });
        const guard = new OverlapGuard(storage, reserved);
        const tables = new Set<number>(Array.from({ length: reserved }, (_, at) => at));
        for (const { table, offset, length } of all) {
          const bytes = Array.from({ length }, (_, at) => offset + at);
          const harmful = bytes.some((at) => tables.has(at));
          const before = storage.writes.length;
          const writeTable = async () => {
            guard.reserve(offset, length);
            await guard.writeTables(offset, [payload(length)]);
          };
          const call = table ? writeTable() : guard.write(offset, [payload(length)]);
          const passed = await call.then(
            () => true,
            () => false,
          );
          expect(passed).toBe(!harmful);
          expect(storage.writes).toHaveLength(before + (harmful ? 0 : 1));
          if (passed && table) for (const at of bytes) tables.add(at);
        }
      },
    );
    await fc.assert(property);
  });

  test('passes every other call to the storage below', async () => {
    const { storage, guard } = await guarded();
    storage.readsExpected = true;
    expect([guard.name, guard.alignment]).toEqual(['recording', 1]);
    storage.alignment = 512;
    expect(guard.alignment).toBe(512);
    storage.alignment = 1;
    const into = new Uint8Array(10);
    expect(await guard.read(20_000, into)).toBe(10);
    expect(into).toEqual(payload(4000).subarray(0, 10));
    await guard.sync();
    expect(storage.syncs).toBe(1);
  });
});
