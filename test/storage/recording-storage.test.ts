/** Tests of the test storage: it reports each forbidden call, and no other. */
import { describe, expect, test } from 'vitest';
import { alignedMemory } from '../../src/system/aligned-memory.js';
import { stateOf } from './promise-state.js';
import { payload, RecordingStorage } from './recording-storage.js';

const BLOCK = 4096;
const memory = (blocks: number) => alignedMemory(blocks * BLOCK).subarray(0, blocks * BLOCK);

describe('the recording storage', () => {
  test('reports nothing for aligned adjacent writes', async () => {
    const storage = new RecordingStorage();
    await Promise.all([storage.write(0, [memory(1)]), storage.write(BLOCK, [memory(2), memory(1)])]);
    expect(storage.violations).toEqual([]);
    expect(storage.writes.map(({ offset, length }) => [offset, length])).toEqual([
      [0, BLOCK],
      [BLOCK, 3 * BLOCK],
    ]);
  });

  test.each([
    ['offset', 512, memory(1)],
    ['length', 0, memory(1).subarray(0, 100)],
    ['address', 0, memory(2).subarray(512, 512 + BLOCK)],
  ])('reports a write whose %s is not aligned', async (_, offset, buffer) => {
    const storage = new RecordingStorage();
    await storage.write(offset, [buffer]);
    expect(storage.violations).toEqual([expect.stringContaining('not aligned')]);
  });

  test('reports two writes in flight that share a block, even if their bytes do not overlap', async () => {
    const storage = new RecordingStorage({ alignment: 1 });
    storage.hold();
    const first = storage.write(0, [payload(100)]);
    storage.alignment = BLOCK;
    const second = storage.write(200, [payload(100)]);
    storage.releaseAll();
    await Promise.all([first, second]);
    expect(storage.violations).toContainEqual(expect.stringContaining('shares a block'));
  });

  test('reports a buffer that changes during its write', async () => {
    const storage = new RecordingStorage();
    storage.hold();
    const buffer = memory(1);
    const writing = storage.write(0, [buffer]);
    buffer[7] = 1;
    storage.releaseAll();
    await writing;
    expect(storage.violations).toEqual([expect.stringContaining('changed')]);
  });

  test('reports bytes that are read back', async () => {
    const storage = new RecordingStorage();
    await storage.read(0, memory(1));
    expect(storage.violations).toEqual([expect.stringContaining('read back')]);
  });

  test('holds writes until they are released, or fails them after some bytes', async () => {
    const storage = new RecordingStorage({ alignment: 1 });
    const error = new Error('no space');
    storage.hold();
    const first = storage.write(0, [payload(10)]);
    const second = storage.write(10, [payload(10)]);
    expect(await stateOf(first)).toBe('waiting');
    storage.release(storage.writes[1], { error, taken: 3 });
    await expect(second).rejects.toBe(error);
    expect(await stateOf(first)).toBe('waiting');
    storage.release(storage.writes[0]);
    await first;
    expect(storage.bytes(0, 15)).toEqual(new Uint8Array([...payload(10), ...payload(3), 0, 0]));
    expect(storage.size).toBe(13);
  });

  test('fails the write with a given number, and ends a read at the end of the file', async () => {
    const storage = new RecordingStorage({ alignment: 1, background: 7 });
    storage.readsExpected = true;
    storage.failNth(1, new Error('second'));
    await storage.write(0, [payload(10)]);
    await expect(storage.write(10, [payload(10)])).rejects.toThrow('second');
    const into = new Uint8Array(20);
    expect(await storage.read(5, into)).toBe(5);
    expect(into.subarray(0, 6)).toEqual(new Uint8Array([...payload(10).subarray(5), 0]));
    expect(storage.bytes(15, 1)).toEqual(new Uint8Array([7]));
  });

  test('reports a write past the end of a device, but not one of the last sectors', async () => {
    const storage = new RecordingStorage({ deviceSize: BLOCK + 512 });
    await storage.write(BLOCK, [memory(1).subarray(0, 512)]);
    expect(storage.violations).toEqual([]);
    await storage.write(BLOCK, [memory(1)]);
    expect(storage.violations).toEqual([expect.stringContaining('past the end of the device')]);
  });

  test('makes holes of whole blocks unless it is set to refuse', async () => {
    const storage = new RecordingStorage({ background: 7 });
    storage.preset(0, payload(3 * BLOCK));
    expect(await storage.punch(BLOCK, BLOCK)).toBe(true);
    storage.refusesPunch = () => true;
    expect(await storage.punch(0, BLOCK)).toBe(false);
    const expected = payload(3 * BLOCK).fill(0, BLOCK, 2 * BLOCK);
    expect(storage.bytes(0, 3 * BLOCK)).toEqual(expected);
    expect(storage.violations).toEqual([]);
  });

  test('reports a hole that is not whole blocks, and one under a write', async () => {
    const storage = new RecordingStorage();
    storage.hold();
    const writing = storage.write(0, [memory(2)]);
    await storage.punch(BLOCK, BLOCK);
    await storage.punch(4 * BLOCK, 512);
    storage.releaseAll();
    await writing;
    expect(storage.violations).toEqual([
      expect.stringContaining('takes its place'),
      expect.stringContaining('none of whole blocks'),
    ]);
  });
});
