/** Unaligned writes on an aligned storage: read, modify, write, one at a time. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { UnalignedWriter } from '../../src/storage/unaligned-writer.js';
import { stateOf, turn } from './promise-state.js';
import { expectSameBytes, payload, RecordingStorage, useRecordingStorage } from './recording-storage.js';

const recordingStorage = useRecordingStorage();

describe('the unaligned writer', () => {
  test('keeps every adjacent byte, for any end of the file', async () => {
    const write = fc.record({ offset: fc.nat(20_000), length: fc.integer({ min: 1, max: 9_000 }) });
    const property = fc.asyncProperty(
      fc.constantFrom(1, 512, 4096),
      fc.nat(30_000),
      fc.array(write, { minLength: 1, maxLength: 8 }),
      async (alignment, size, writes) => {
        const storage = new RecordingStorage({ alignment });
        storage.readsExpected = true;
        if (size > 0) storage.preset(0, payload(size, 99));
        const expected = new Uint8Array(40_000);
        expected.set(payload(size, 99));
        const writer = new UnalignedWriter(storage);
        await Promise.all(
          writes.map(({ offset, length }, seed) => {
            expected.set(payload(length, seed), offset);
            return writer.write(offset, payload(length, seed));
          }),
        );
        expectSameBytes(storage.bytes(0, 40_000), expected);
        expect(storage.violations).toEqual([]);
      },
    );
    await fc.assert(property, { numRuns: 100 });
  });

  test('writes the bytes directly if the storage has no alignment', async () => {
    const storage = recordingStorage({ alignment: 1 });
    await new UnalignedWriter(storage).write(5, payload(10));
    expect(storage.writes).toMatchObject([{ offset: 5, length: 10 }]);
    expect(storage.reads).toEqual([]);
  });

  test('serves calls one at a time and in order', async () => {
    const storage = recordingStorage();
    storage.readsExpected = true;
    storage.hold();
    const writer = new UnalignedWriter(storage);
    const calls = [writer.write(9000, payload(10)), writer.write(100, payload(10))];
    await turn();
    expect(storage.writes.map(({ offset }) => offset)).toEqual([8192]);
    storage.releaseAll();
    await Promise.all(calls);
    expect(storage.writes.map(({ offset }) => offset)).toEqual([8192, 0]);
  });

  test('writes nothing after a failed write, and rejects all later calls with its error', async () => {
    const storage = recordingStorage({ alignment: 1 });
    const error = new Error('no space');
    storage.failNth(1, error);
    const writer = new UnalignedWriter(storage);
    const calls = [0, 1, 2].map((at) => writer.write(at * 10, payload(10)));
    expect(await Promise.all(calls.map(stateOf))).toEqual(['resolved', 'rejected', 'rejected']);
    await expect(writer.write(30, payload(10))).rejects.toBe(error);
    expect(storage.writes).toHaveLength(2);
  });

  test('writes nothing when it cannot read the adjacent bytes', async () => {
    const storage = recordingStorage({ delay: () => Promise.reject(new Error('bad sector')) });
    storage.readsExpected = true;
    await expect(new UnalignedWriter(storage).write(5, payload(10))).rejects.toThrow('bad sector');
    expect(storage.writes).toEqual([]);
  });
});
