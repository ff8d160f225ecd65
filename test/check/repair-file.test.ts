import { describe, expect, test } from 'vitest';
import { RepairFile } from '../../src/check/repair-file.js';
import { HistoryFile } from './power-history.js';

const bytesOf = (length: number) => Buffer.from(Array.from({ length }, (_, at) => at % 251));

function open(length: number): { readonly storage: HistoryFile; readonly file: RepairFile } {
  const storage = new HistoryFile(bytesOf(length));
  return { storage, file: new RepairFile(storage, length) };
}

const put = (value: number) => (bytes: Uint8Array) => {
  bytes.fill(value);
};

/** Offset and length of every write, and the syncs between them. */
const shape = ({ steps }: HistoryFile) =>
  steps.map((step) => (step === 'sync' ? step : [step.offset, step.bytes.length]));

describe('the file of an image under repair', () => {
  test('writes changes in whole sectors, adjacent ones at once, and changes no other byte', async () => {
    const { storage, file } = open(200_000);
    await file.change(1030, 2, put(0xff));
    await file.change(1600, 8, put(0xfe));
    await file.change(700, 1, put(0xfd));
    expect(storage.steps).toEqual([]);
    await file.sync();
    expect(shape(storage)).toEqual([[512, 1536], 'sync']);
    const expected = bytesOf(200_000).fill(0xff, 1030, 1032).fill(0xfe, 1600, 1608).fill(0xfd, 700, 701);
    expect(storage.bytes.equals(expected)).toBe(true);
  });

  test('writes changes before it moves far away, and before any read', async () => {
    const { storage, file } = open(200_000);
    await file.change(1000, 2, put(1));
    await file.change(150_000, 2, put(2));
    expect(shape(storage)).toEqual([[512, 512]]);
    const found = new Uint8Array(2);
    await file.read(150_000, found);
    expect(found).toEqual(Uint8Array.of(2, 2));
    expect(shape(storage)).toEqual([
      [512, 512],
      [149_504, 512],
    ]);
  });

  test('returns false for a change without effect, and does not write it', async () => {
    const { storage, file } = open(4096);
    const [value] = bytesOf(4096).subarray(1000);
    expect(await file.change(1000, 1, put(value as number))).toBe(false);
    expect(await file.change(1000, 1, put(0))).toBe(true);
    expect(await file.change(1000, 1, put(0))).toBe(false);
    await file.sync();
    expect(shape(storage)).toEqual([[512, 512], 'sync']);
  });

  test('changes the last bytes of a file that ends inside a sector', async () => {
    const { storage, file } = open(1000);
    await file.change(990, 8, put(9));
    await file.sync();
    expect(storage.bytes.subarray(0, 1000).equals(bytesOf(1000).fill(9, 990, 998))).toBe(true);
    expect(storage.bytes.subarray(1000).every((byte) => byte === 0)).toBe(true);
  });

  test('grows by appended bytes, which later changes see', async () => {
    const { storage, file } = open(1000);
    expect(file.size).toBe(1024);
    await file.change(100, 1, put(7));
    await file.append(2048, Buffer.alloc(1024, 5));
    expect(file.size).toBe(3072);
    await file.change(2048, 2, put(6));
    await file.sync();
    expect([...storage.bytes.subarray(2046, 2052)]).toEqual([0, 0, 6, 6, 5, 5]);
    expect(storage.bytes[100]).toBe(7);
  });

  test('is not synced when a write has failed', async () => {
    const { storage, file } = open(4096);
    storage.failsAfter = 0;
    await file.change(0, 1, put(1));
    await expect(file.sync()).rejects.toThrow('the disk is gone');
    expect(storage.steps).toEqual([]);
  });
});
