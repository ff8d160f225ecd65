import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Compressor } from '../../src/engines/codec.js';
import { LevelByContent, looksLikeTables } from '../../src/engines/level-by-content.js';

const CLUSTER = 65536;

/** Records of 32 bytes with a few small numbers in each: relocation tables, symbol tables, page tables. */
function tables(): Uint8Array {
  const bytes = new Uint8Array(CLUSTER);
  for (let at = 0; at < CLUSTER; at += 32) new DataView(bytes.buffer).setUint32(at, at * 7, true);
  return bytes;
}

const text = Buffer.alloc(CLUSTER, 'A sentence, then the next one;\tand a new line.\n');
const code = readFileSync(process.execPath).subarray(2 ** 24, 2 ** 24 + CLUSTER);

describe('a cluster', () => {
  test.each<[string, Uint8Array, boolean]>([
    ['of small numbers in fixed records looks like tables', tables(), true],
    ['of zeros looks like tables', new Uint8Array(CLUSTER), true],
    ['of text does not', text, false],
    ['of machine code does not', code, false],
    ['of random bytes does not', randomBytes(CLUSTER), false],
  ])('%s', (_, cluster, expected) => {
    expect(looksLikeTables(cluster)).toBe(expected);
  });

  test('is classified by its bytes alone, at every size', () => {
    fc.assert(
      fc.property(fc.integer({ min: 9, max: 14 }), fc.infiniteStream(fc.nat(255)), (bits, stream) => {
        const cluster = Uint8Array.from({ length: 2 ** bits }, () => stream.next().value as number);
        expect(looksLikeTables(cluster)).toBe(looksLikeTables(cluster.slice()));
      }),
      { numRuns: 20 },
    );
  });
});

test('tables go to one compressor, other clusters to the other, and both are freed', () => {
  const calls: string[] = [];
  const named = (name: string): Compressor => ({
    compress: (input, output) => {
      calls.push(`${name} ${input.length} ${output.length}`);
      return 7;
    },
    free: () => void calls.push(`${name} freed`),
  });
  const compressor = new LevelByContent(named('usual'), named('tables'));
  expect(compressor.compress(text, new Uint8Array(5))).toBe(7);
  expect(compressor.compress(tables(), new Uint8Array(6))).toBe(7);
  expect(calls.splice(0)).toEqual([`usual ${CLUSTER} 5`, `tables ${CLUSTER} 6`]);
  compressor.free();
  expect(calls.splice(0)).toEqual(['usual freed', 'tables freed']);
});
