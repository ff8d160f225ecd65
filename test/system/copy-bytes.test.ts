import { expect, test } from 'vitest';
import { copyBytes } from '../../src/system/copy-bytes.js';

const shared = () => new Uint8Array(new SharedArrayBuffer(100_000));
const own = () => new Uint8Array(100_000);
const isSet = (bytes: Uint8Array, at: number, source: Uint8Array) => {
  const expected = new Uint8Array(bytes.length);
  expected.set(source, at);
  return Buffer.compare(bytes, expected) === 0;
};

test.each([
  ['own memory to shared memory', own, shared],
  ['shared memory to own memory', shared, own],
  ['shared memory to shared memory', shared, shared],
])('%s: any bytes go to any place, and no other byte changes', (_, from, to) => {
  for (const [start, length, at] of [
    [0, 100_000, 0],
    [1, 70_001, 3],
    [7, 1, 99_999],
    [5, 0, 100_000],
  ] as const) {
    const source = from();
    source.forEach((_byte, index) => {
      source[index] = (index * 31) % 256;
    });
    const target = to();
    const part = source.subarray(start, start + length);
    copyBytes(target, at, part);
    expect(isSet(target, at, part)).toBe(true);
  }
});

test('bytes that do not fit are refused, and nothing changes', () => {
  const target = own();
  expect(() => copyBytes(target, 99_999, new Uint8Array(2).fill(1))).toThrow(RangeError);
  expect(target.every((byte) => byte === 0)).toBe(true);
});
