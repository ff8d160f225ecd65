import { expect, test } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { TableStream } from '../../src/qcow2/table-stream.js';
import { OverlapGuard } from '../../src/storage/overlap-guard.js';
import { payload, type RecordingStorage, useRecordingStorage } from '../storage/recording-storage.js';

const makeStorage = useRecordingStorage();
const MIB = 1024 * 1024;
/** The longest write; no host cluster needs two. */
const LARGEST_WRITE = 2 * MIB;

/** A guard with room for tables after the header. */
function reservedGuard(storage: RecordingStorage): OverlapGuard {
  const guard = new OverlapGuard(storage, 4096);
  guard.reserve(4096, 16 * MIB);
  return guard;
}

test.each([
  [4096, [8]],
  [4096, [512, 512, 8]],
  [4096, [65_536, 65_536, 24]],
  [4096, [2 * MIB - 8, 8]],
  [4096, [2 * MIB, 8]],
  [4096, [700_000, 700_000, 700_000, 3 * MIB + 8]],
  [1, [512, 512, 8]],
  [1, [3 * MIB + 8]],
])('alignment %i: tables of %j bytes are written one after another', async (alignment, lengths) => {
  const storage = makeStorage({ alignment, background: 0xee });
  const guard = new OverlapGuard(storage, 4096);
  const tables = lengths.map((length, index) => payload(length, index));
  const stream = new TableStream(guard);
  const total = lengths.reduce((sum, length) => sum + length, 0);
  guard.reserve(8192, Math.ceil(total / alignment) * alignment);
  await stream.write(hostOffset(8192), tables);
  expect(Buffer.compare(storage.bytes(8192, total), Buffer.concat(tables))).toBe(0);
  const end = 8192 + Math.ceil(total / alignment) * alignment;
  expect(storage.bytes(8192 + total, end - 8192 - total).every((byte) => byte === 0)).toBe(true);
  expect(storage.size).toBe(end);
  expect(storage.writes.length).toBe(Math.ceil(total / LARGEST_WRITE));
});

test('a fallback to buffered writes in the middle does not change the bytes', async () => {
  const storage = makeStorage();
  const guard = new OverlapGuard(storage, 4096);
  storage.failWhen = (_, index) => {
    if (index === 0) storage.alignment = 1;
    return undefined;
  };
  const table = payload(LARGEST_WRITE + 100);
  guard.reserve(4096, table.length);
  await new TableStream(guard).write(hostOffset(4096), [table]);
  expect(Buffer.compare(storage.bytes(4096, table.length), table)).toBe(0);
  expect(storage.size).toBe(4096 + table.length);
});

test('the first write that fails is the last', async () => {
  const storage = makeStorage();
  storage.failNth(1, new Error('no space'));
  const tables = [payload(5 * MIB)];
  const stream = new TableStream(reservedGuard(storage));
  await expect(stream.write(hostOffset(4096), tables)).rejects.toThrow('no space');
  await expect(stream.write(hostOffset(8 * MIB), [payload(1)])).rejects.toThrow('no space');
  expect(storage.writes.length).toBe(2);
});

test('a write holds no bytes of the previous one', async () => {
  const storage = makeStorage();
  const stream = new TableStream(reservedGuard(storage));
  // Two concurrent calls run one after the other.
  await Promise.all([
    stream.write(hostOffset(4096), [payload(8192)]),
    stream.write(hostOffset(12_288), [payload(10, 2)]),
  ]);
  expect(Buffer.compare(storage.bytes(12_288, 10), payload(10, 2))).toBe(0);
  expect(storage.bytes(12_298, 4086).every((byte) => byte === 0)).toBe(true);
});
