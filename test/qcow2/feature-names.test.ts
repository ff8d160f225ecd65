import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXTENSION_TYPES, encodeExtension } from '../../src/qcow2/extension-list.js';
import { encodeFeatureNames, nameIncompatibleFeatures } from '../../src/qcow2/feature-names.js';
import { FEATURES } from '../../src/qcow2/features.js';

const END = encodeExtension(EXTENSION_TYPES.end, new Uint8Array(0));

describe('encodeFeatureNames', () => {
  it('holds kind, bit number and padded name of each feature', () => {
    const bytes = Buffer.from(encodeFeatureNames([{ kind: 'autoclear', mask: 1n << 63n, name: 'last' }]));
    expect(bytes.toString('hex', 0, 6)).toBe(`${'02'}${'3f'}${'6c617374'}`);
    expect(bytes.length).toBe(48);
    expect(bytes.subarray(6).every((byte) => byte === 0)).toBe(true);
  });
});

describe('nameIncompatibleFeatures', () => {
  const list = Buffer.concat([
    encodeExtension(EXTENSION_TYPES.featureNames, encodeFeatureNames(FEATURES)),
    END,
  ]);

  it('uses the names of incompatible features only, the lowest bit first', () => {
    expect(nameIncompatibleFeatures(list, 0b10_0011n)).toEqual(['dirty bit', 'corrupt bit', 'bit 5']);
  });

  it('finds the table after another extension and its padding', () => {
    const other = encodeExtension(EXTENSION_TYPES.backingFormat, Buffer.from('raw'));
    expect(nameIncompatibleFeatures(Buffer.concat([other, list]), 1n)).toEqual(['dirty bit']);
  });

  it('finds nothing after the end marker, or in a table that ends outside the list', () => {
    const behindEnd = Buffer.concat([END, list]);
    expect(nameIncompatibleFeatures(behindEnd, 1n)).toEqual(['bit 0']);
    expect(nameIncompatibleFeatures(list.subarray(0, 100), 1n)).toEqual(['bit 0']);
  });

  it('returns a name for every bit, for any list', () => {
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
