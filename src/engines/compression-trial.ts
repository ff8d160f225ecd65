/**
 * Tests a compressor with data similar to a guest's before it is used, at the level to be used: most of a library's
 * code belongs to its higher levels.
 */
import { CheckedCompressor } from './checked-compressor.js';
import type { Compressor, Decompressor } from './codec.js';

/** Bytes of a sample: a cluster of the default size. */
const SAMPLE_BYTES = 65536;

/** Made once a thread. */
let made: readonly Uint8Array[] | undefined;

/** @returns whether its payloads of all samples inflate to the samples; the caller still owns both */
export function compressesRight(compressor: Compressor, decompressor: Decompressor): boolean {
  const checked = new CheckedCompressor(compressor, [], decompressor);
  made ??= samples();
  return made.every((sample) => {
    const size = checked.compress(sample, new Uint8Array(sample.length - 1));
    return size > 0;
  });
}

/** Text, records of a binary table, and both with distant repetitions between random bytes. */
function samples(): Uint8Array[] {
  const random = randomNumbers();
  const text = new Uint8Array(SAMPLE_BYTES);
  const words = VOCABULARY_BYTES;
  for (let at = 0; at < words; at += 1) text[at] = random() % 6 === 0 ? SPACE : LETTER_A + (random() % 26);
  // Pieces of the vocabulary, some of them often.
  for (let at = words; at < SAMPLE_BYTES; ) {
    const from = (random() % words) >> (random() % 4);
    const length = 2 + (random() % 9);
    text.copyWithin(at, from, from + length);
    text[at + length] = SPACE;
    at += length + 1;
  }
  const table = new Uint8Array(SAMPLE_BYTES);
  const mixed = new Uint8Array(SAMPLE_BYTES);
  for (let at = 0; at < SAMPLE_BYTES; at += RECORD_BYTES) {
    const record = at / RECORD_BYTES;
    table[at] = record;
    table[at + 1] = record >> 8;
    table[at + 9] = random() & 0x1f;
  }
  for (let at = 0; at + 8192 <= SAMPLE_BYTES; at += 8192) {
    mixed.set((at % 16384 === 0 ? text : table).subarray(at >> 2, (at >> 2) + 4096), at);
    for (let noise = at + 4096; noise < at + 8192; noise += 1) mixed[noise] = random();
  }
  return [text, table, mixed];
}

/** Bytes. */
const VOCABULARY_BYTES = 1024;
const RECORD_BYTES = 24;
const SPACE = 0x20;
const LETTER_A = 0x61;

/** The same sequence each time (Numerical Recipes' linear congruential generator). */
function randomNumbers(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 8;
  };
}
