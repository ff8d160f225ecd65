import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FEATURES } from '../../src/qcow2/features.js';
import { encodeExtensions, nameIncompatibleFeatures } from '../../src/qcow2/header-extensions.js';

describe('the extension list', () => {
  it('is its end alone when there is no feature to name', () => {
    expect([...encodeExtensions([])]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('holds kind, bit number and padded name of each feature, then the end', () => {
    const bytes = Buffer.from(encodeExtensions([{ kind: 'autoclear', mask: 1n << 63n, name: 'last' }]));
    expect(bytes.toString('hex', 0, 14)).toBe(`6803f857${'00000030'}${'02'}${'3f'}${'6c617374'}`);
    expect(bytes.length).toBe(8 + 48 + 8);
    expect(bytes.subarray(14).every((byte) => byte === 0)).toBe(true);
  });
});

describe('nameIncompatibleFeatures', () => {
  const list = encodeExtensions(FEATURES);

  it('takes the names of incompatible features only, the lowest bit first', () => {
    expect(nameIncompatibleFeatures(list, 0b10_0011n)).toEqual(['dirty bit', 'corrupt bit', 'bit 5']);
  });

  it('finds the table behind another extension and its padding', () => {
    const other = Uint8Array.of(0xe2, 0x79, 0x2a, 0xca, 0, 0, 0, 3, 0x72, 0x61, 0x77, 0, 0, 0, 0, 0);
    expect(nameIncompatibleFeatures(Buffer.concat([other, list]), 1n)).toEqual(['dirty bit']);
  });

  it('finds nothing behind the end, or in a table that does not end inside the list', () => {
    const behindEnd = Buffer.concat([encodeExtensions([]), list]);
    expect(nameIncompatibleFeatures(behindEnd, 1n)).toEqual(['bit 0']);
    expect(nameIncompatibleFeatures(list.subarray(0, 100), 1n)).toEqual(['bit 0']);
  });

  it('gives a name for every bit, whatever the list says', () => {
    const edits = fc.array(fc.tuple(fc.nat(list.length - 1), fc.nat(255)), { maxLength: 10 });
    fc.assert(
      fc.property(edits, fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), (changes, bits) => {
        const bytes = Uint8Array.from(list);
        for (const [at, value] of changes) bytes[at] = value;
        expect(nameIncompatibleFeatures(bytes, bits)).toHaveLength(
          bits.toString(2).replaceAll('0', '').length,
        );
      }),
    );
  });
});
