/** Payloads that do not inflate to their cluster are never used. */
import { deflateRawSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { CheckedCompressor } from '../../src/engines/checked-compressor.js';
import type { Compressor } from '../../src/engines/codec.js';
import { compressesRight } from '../../src/engines/compression-trial.js';
import { createCompressor, createDecompressor } from '../../src/engines/create-engine.js';
import { chooseCompressor } from '../../src/engines/engine-choice.js';

const cluster = Buffer.alloc(4096, 'what is compressed ');
let freed = 0;
const compressor = (compress: (input: Uint8Array) => Uint8Array): Compressor => ({
  compress(input, output) {
    const payload = compress(input);
    output.set(payload.subarray(0, output.length));
    return payload.length;
  },
  free() {
    freed += 1;
  },
});
const right = () => compressor((input) => deflateRawSync(input));
const changed = (input: Uint8Array) => Uint8Array.from(input, (byte, at) => (at === 7 ? byte ^ 1 : byte));

const WRONG: Readonly<Record<string, () => Compressor>> = {
  'yields another byte': () => compressor((input) => deflateRawSync(changed(input))),
  'yields fewer bytes': () => compressor((input) => deflateRawSync(input.subarray(1))),
  'yields more bytes': () => compressor((input) => deflateRawSync(Buffer.concat([input, input]))),
  'is truncated': () => compressor((input) => deflateRawSync(input).subarray(0, -4)),
  'has trailing bytes': () => compressor((input) => Buffer.concat([deflateRawSync(input), Buffer.alloc(3)])),
  'is longer than the output': () => compressor(() => Buffer.alloc(5000)),
};

test.each(Object.entries(WRONG))(
  'a payload that %s is replaced by one of a lower level',
  async (_, wrong) => {
    const decompressor = await createDecompressor({ type: 'zlib' });
    const checked = new CheckedCompressor(wrong(), [wrong, right, right], decompressor);
    const output = Buffer.alloc(4095);
    freed = 0;
    for (const count of [1, 2]) {
      const size = checked.compress(cluster, output);
      expect(output.subarray(0, size).equals(deflateRawSync(cluster))).toBe(true);
      expect(checked.corrected).toBe(count);
    }
    checked.free();
    // The last level was never needed, nor made.
    expect(freed).toBe(3);
  },
);

test('a cluster that every level compresses wrongly is stored uncompressed', async () => {
  const wrong = WRONG['yields another byte']!;
  const checked = new CheckedCompressor(wrong(), [wrong], await createDecompressor({ type: 'zlib' }));
  expect(checked.compress(cluster, Buffer.alloc(4095))).toBe(0);
  expect(checked.corrected).toBe(1);
  checked.free();
});

test('correct payloads and clusters that do not fit are unchanged', async () => {
  const nothing: Compressor = { compress: () => 0, free() {} };
  for (const [engine, size] of [
    [right(), deflateRawSync(cluster).length],
    [nothing, 0],
  ] as const) {
    const checked = new CheckedCompressor(engine, [right], await createDecompressor({ type: 'zlib' }));
    expect(checked.compress(cluster, Buffer.alloc(4095))).toBe(size);
    expect(checked.corrected).toBe(0);
    checked.free();
  }
});

test.each([
  ['zlib', 'libdeflate', 12],
  ['zlib', 'node', 9],
  ['zstd', 'libzstd', 19],
] as const)('the trial accepts %s by %s at every level up to %i', async (type, engine, highest) => {
  const decompressor = await createDecompressor({ type });
  for (let level = 1; level <= highest; level += 1) {
    const made = await createCompressor(await chooseCompressor({ type, engine, level }));
    expect(compressesRight(made, decompressor)).toBe(true);
    made.free();
  }
  decompressor.free();
});

test.each(Object.entries(WRONG))('the trial refuses a compressor whose payload %s', async (_, wrong) => {
  const decompressor = await createDecompressor({ type: 'zlib' });
  expect(compressesRight(wrong(), decompressor)).toBe(false);
  decompressor.free();
});
