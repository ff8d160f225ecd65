/**
 * Tests a compressor with data similar to a guest's before it is used, at the level to be used: most of a library's
 * code belongs to its higher levels.
 */
import { CheckedCompressor } from './checked-compressor.js';
import type { Compressor, Decompressor } from './codec.js';

/** Bytes of a sample: a cluster of the default size. */
const SAMPLE_BYTES = 65536;

/** @returns whether its payloads of all samples inflate to the samples; the caller still owns both */
export function compressesRight(compressor: Compressor, decompressor: Decompressor): boolean {
  const checked = new CheckedCompressor(compressor, [], decompressor);
  return samples().every((sample) => {
    const size = checked.compress(sample, new Uint8Array(sample.length - 1));
    return size > 0;
  });
}

/** Text, records of a binary table, and both with distant repetitions between random bytes. */
function samples(): Uint8Array[] {
  const random = randomNumbers();
  const words = Array.from({ length: 200 }, () =>
    String.fromCharCode(...Array.from({ length: 2 + (random() % 9) }, () => 97 + (random() % 26))),
  );
  const text = new Uint8Array(SAMPLE_BYTES);
  for (let at = 0; at < text.length; ) {
    const word = Buffer.from(`${words[(random() % 200) >> (random() % 4)]} `);
    text.set(word.subarray(0, text.length - at), at);
    at += word.length;
  }
  const table = Uint8Array.from({ length: SAMPLE_BYTES }, (_, at) =>
    at % 24 < 4 ? (at / 24) >> (8 * (at % 4)) : at % 24 === 9 ? random() & 0x1f : 0,
  );
  const mixed = Uint8Array.from({ length: SAMPLE_BYTES }, () => random() & 0xff);
  for (let at = 0; at + 4096 <= mixed.length; at += 8192) {
    mixed.set((at % 16384 === 0 ? text : table).subarray(at >> 2, (at >> 2) + 4096), at);
  }
  return [text, table, mixed];
}

/** The same sequence each time (Numerical Recipes' linear congruential generator). */
function randomNumbers(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
}
