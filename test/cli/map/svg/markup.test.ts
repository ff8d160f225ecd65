import { expect, test } from 'vitest';
import { binarySize, percentage } from '../../../../src/cli/map/svg/binary-size.js';
import { escaped } from '../../../../src/cli/map/svg/markup.js';

test('text from an image is never markup', () => {
  expect(escaped('<script>&"')).toBe('&lt;script&gt;&amp;"');
  expect(escaped('a\u0000b\nc\u001b')).toBe('a\\x00b\\x0ac\\x1b');
  expect(escaped('\ud800 \uffff 😀')).toBe('\ufffd \ufffd 😀');
});

test.each([
  [0, '0'],
  [512, '512 B'],
  [65536, '64 KiB'],
  [1536 * 1024, '1.5 MiB'],
  [2 ** 40 - 1, '1 TiB'],
  [1023 * 2 ** 30, '1023 GiB'],
  [12.34 * 2 ** 30, '12.3 GiB'],
  [2 ** 53, '8 PiB'],
])('%i bytes are %s', (bytes, text) => {
  expect(binarySize(bytes)).toBe(text);
});

test('a percentage is 0 or 100 only if exact', () => {
  expect([0, 1, 999_999, 1_000_000].map((part) => percentage(part, 1_000_000))).toEqual([
    '0 %',
    '< 0.1 %',
    '> 99.9 %',
    '100 %',
  ]);
  expect([percentage(1, 3), percentage(1, 30), percentage(995, 1000)]).toEqual(['33 %', '3.3 %', '99.5 %']);
});
