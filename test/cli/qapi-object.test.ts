import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entriesOf, qapiJson } from '../../src/cli/options/qapi-object.js';

describe('qapiJson', () => {
  it('orders keys as QEMU does, for any input order', () => {
    // As qemu-img 7.2 prints them; `children` as later versions do.
    const orders = [
      'children backing-filename-format snapshots virtual-size filename cluster-size format actual-size ' +
        'format-specific full-backing-filename encrypted backing-filename dirty-flag',
      'icount vm-clock-nsec name date-sec date-nsec vm-clock-sec id vm-state-size',
      'compat compression-type lazy-refcounts bitmaps refcount-bits data-file encrypt data-file-raw corrupt extended-l2',
      'flags name granularity',
      'ivgen-alg hash-alg cipher-alg uuid ivgen-hash-alg format cipher-mode slots payload-offset master-key-iters',
    ].map((line) => line.split(' '));
    for (const order of orders) {
      fc.assert(
        fc.property(fc.shuffledSubarray(order, { minLength: order.length }), (keys) => {
          // Two share a place: QEMU sets the children last.
          const last = [
            ...keys.filter((key) => key !== 'children'),
            ...keys.filter((key) => key === 'children'),
          ];
          const entries = entriesOf(Object.fromEntries(last.map((key) => [key, 0])));
          expect(entries.map(([key]) => key)).toEqual(order);
        }),
      );
    }
  });

  it('indents by four, with only a line end inside empty values', () => {
    expect(qapiJson({ list: [1, [], {}], flag: true, none: undefined })).toBe(
      '{\n    "list": [\n        1,\n        [\n        ],\n        {\n        }\n    ],\n    "flag": true\n}\n',
    );
  });

  it('writes all digits of 64-bit numbers', () => {
    expect(qapiJson([2n ** 64n - 1n, -5n, 2 ** 53 - 1, 0])).toBe(
      '[\n    18446744073709551615,\n    -5,\n    9007199254740991,\n    0\n]\n',
    );
  });

  it('writes text in ASCII as QEMU does', () => {
    expect(qapiJson('"\\/\b\f\n\r\t\0\x1b\x7f~ü磁🖴\ufffd')).toBe(
      '"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001B\\u007F~\\u00FC\\u78C1\\uD83D\\uDDB4\\uFFFD"\n',
    );
  });

  it('is parsed back to the same value', () => {
    const value = fc.jsonValue({ maxDepth: 3 }).filter((json) => !JSON.stringify(json).includes('null'));
    fc.assert(
      fc.property(value, (json) => {
        const text = qapiJson(json as Parameters<typeof qapiJson>[0]);
        expect(JSON.parse(text)).toEqual(JSON.parse(JSON.stringify(json)));
        expect(text).toMatch(/^[ -~\n]*$/);
      }),
    );
  });
});
