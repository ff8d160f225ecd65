import { expect, test } from 'vitest';
import { binarySize, roundedPercentage } from '../../../../src/cli/map/svg/binary-size.js';
import { xmlText } from '../../../../src/cli/map/svg/markup.js';

test('text from an image is never markup', () => {
  expect(xmlText('<script>&"')).toBe('&lt;script&gt;&amp;"');
  expect(xmlText('a\u0000b\nc\u001b')).toBe('a\\x00b\\x0ac\\x1b');
  expect(xmlText('\ud800 \uffff 😀')).toBe('\ufffd \ufffd 😀');
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
  expect([0, 1, 999_999, 1_000_000].map((part) => roundedPercentage(part, 1_000_000))).toEqual([
    '0 %',
    '< 0.1 %',
    '> 99.9 %',
    '100 %',
  ]);
  expect([roundedPercentage(1, 3), roundedPercentage(1, 30), roundedPercentage(995, 1000)]).toEqual([
    '33 %',
    '3.3 %',
    '99.5 %',
  ]);
});
