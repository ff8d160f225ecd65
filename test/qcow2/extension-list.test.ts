import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EXTENSION_TYPES, encodeExtension, forEachExtension } from '../../src/qcow2/extension-list.js';

const END = encodeExtension(EXTENSION_TYPES.end, new Uint8Array(0));

function listOf(bytes: Uint8Array) {
  const found: [number, string, number][] = [];
  const broken = forEachExtension(bytes, (type, data, at) => {
    found.push([type, Buffer.from(data).toString('hex'), at]);
  });
  return { found, broken };
}

describe('the extension list', () => {
  it('has type, length, data and padding to a multiple of 8', () => {
    expect(Buffer.from(encodeExtension(0xe2792aca, Buffer.from('raw'))).toString('hex')).toBe(
      `e2792aca${'00000003'}${'726177'}0000000000`,
    );
    expect(Buffer.from(END).toString('hex')).toBe('0000000000000000');
  });

  it('returns the encoded extensions in order, up to the end marker', () => {
    const extensions = fc.array(fc.tuple(fc.integer({ min: 1, max: 0xffffffff }), fc.uint8Array()));
    fc.assert(
      fc.property(extensions, fc.boolean(), (list, marked) => {
        const parts = list.map(([type, data]) => encodeExtension(type, data));
        const { found, broken } = listOf(
          Buffer.concat([...parts, ...(marked ? [END, parts[0] ?? END] : [])]),
        );
        expect(found.map(([type, hex]) => [type, hex])).toEqual(
          list.map(([type, data]) => [type, Buffer.from(data).toString('hex')]),
        );
        expect(broken).toBeUndefined();
      }),
    );
  });

  it('may end without the padding of its last extension', () => {
    const list = encodeExtension(7, Uint8Array.of(1, 2, 3)).subarray(0, 11);
    expect(listOf(list)).toEqual({ found: [[7, '010203', 8]], broken: undefined });
  });

  it('returns the offset of an extension that ends outside the list', () => {
    const first = encodeExtension(7, new Uint8Array(5));
    const second = encodeExtension(8, new Uint8Array(16));
    const list = Buffer.concat([first, second]);
    for (let cut = 1; cut < second.length; cut += 1) {
      expect(listOf(list.subarray(0, list.length - cut))).toEqual({
        found: [[7, '0000000000', 8]],
        broken: 16,
      });
    }
    list.writeUInt32BE(0xffffffff, 4);
    expect(listOf(list)).toEqual({ found: [], broken: 0 });
  });
});
