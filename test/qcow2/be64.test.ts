import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Qcow2cError } from '../../src/errors.js';
import { narrow, readU32, readU64, writeU32, writeU64 } from '../../src/qcow2/be64.js';

describe('big-endian numbers', () => {
  it('writes the most significant byte first', () => {
    const bytes = new Uint8Array(14);
    writeU64(bytes, 1, 0x0102030405060708n);
    writeU32(bytes, 9, 0xa1b2c3d4);
    expect([...bytes]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 0xa1, 0xb2, 0xc3, 0xd4, 0]);
  });

  it('reads back every value at every offset, also in a view that starts inside its buffer', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        fc.integer({ min: 0, max: 2 ** 32 - 1 }),
        fc.nat(20),
        (u64, u32, at) => {
          const bytes = new Uint8Array(64).subarray(5);
          writeU64(bytes, at, u64);
          writeU32(bytes, at + 8, u32);
          expect(readU64(bytes, at)).toBe(u64);
          expect(readU32(bytes, at + 8)).toBe(u32);
        },
      ),
    );
  });

  it('refuses a number that is not completely inside the bytes', () => {
    const bytes = new Uint8Array(new ArrayBuffer(64), 0, 8);
    expect(() => readU64(bytes, 1)).toThrow(RangeError);
    expect(() => writeU32(bytes, 5, 0)).toThrow(RangeError);
  });
});

describe('narrow', () => {
  it('accepts every safe integer and refuses larger numbers', () => {
    expect(narrow(0n, 'It')).toBe(0);
    expect(narrow(2n ** 53n - 1n, 'It')).toBe(Number.MAX_SAFE_INTEGER);
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }), (value) => {
        expect(() => narrow(value, 'It')).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
      }),
    );
  });

  it('names the value found and the bound', () => {
    expect(() => narrow(2n ** 60n, "The L1 table offset of 'x.qcow2'")).toThrow(
      new Qcow2cError(
        'ERR_CORRUPT',
        "The L1 table offset of 'x.qcow2' is 1152921504606846976, expected at most 9007199254740991",
        { expected: 'at most 9007199254740991', found: '1152921504606846976' },
      ),
    );
  });
});
