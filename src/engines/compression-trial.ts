/**
 * Tests a compressor with data similar to a guest's before it is used, at the level to be used: most of a library's
 * code belongs to its higher levels.
 */
import { CheckedCompressor } from './checked-compressor.js';
import type { Compressor, Decompressor } from './codec.js';

/** Bytes. Long enough for several blocks; each level of each start takes a third of a millisecond for it. */
const SAMPLE_BYTES = 16384;

/** Made once a thread. */
let made: Uint8Array | undefined;

/** @returns whether its payload of the sample inflates to the sample; the caller still owns both */
export function compressesRight(compressor: Compressor, decompressor: Decompressor): boolean {
  const checked = new CheckedCompressor(compressor, [], decompressor);
  made ??= sample();
  return checked.compress(made, new Uint8Array(made.length - 1)) > 0;
}

/**
 * Text, records of a binary table, random bytes, and all three again at a distance of half the sample, in pieces that
 * other bytes interrupt. Short, because every start of the program makes and compresses it.
 */
function sample(): Uint8Array {
  const random = randomNumbers();
  const bytes = new Uint8Array(SAMPLE_BYTES);
  for (let at = 0; at < VOCABULARY_BYTES; at += 1) {
    bytes[at] = random() % 6 === 0 ? SPACE : LETTER_A + (random() % 26);
  }
  // Pieces of the vocabulary, some of them often.
  for (let at = VOCABULARY_BYTES; at < TEXT_BYTES; ) {
    const from = (random() % VOCABULARY_BYTES) >> (random() % 4);
    const length = 2 + (random() % 9);
    bytes.copyWithin(at, from, from + length);
    bytes[at + length] = SPACE;
    at += length + 1;
  }
  for (let at = TEXT_BYTES; at < NOISE_START; at += RECORD_BYTES) {
    const record = (at - TEXT_BYTES) / RECORD_BYTES;
    bytes[at] = record;
    bytes[at + 1] = record >> 8;
    bytes[at + 9] = random() & 0x1f;
  }
  for (let at = NOISE_START; at < SAMPLE_BYTES / 2; at += 1) bytes[at] = random();
  bytes.copyWithin(SAMPLE_BYTES / 2, 0, SAMPLE_BYTES / 2);
  for (let at = SAMPLE_BYTES / 2; at < SAMPLE_BYTES; at += 256 + (random() & 1023)) bytes[at] = random();
  return bytes;
}

/** Bytes. */
const VOCABULARY_BYTES = 512;
const TEXT_BYTES = 4096;
const RECORD_BYTES = 24;
const NOISE_START = TEXT_BYTES + RECORD_BYTES * 128;
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
