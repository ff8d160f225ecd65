import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sizeText } from '../../../src/cli/info/size-text.js';

describe('sizeText', () => {
  it.each<[number | bigint, string]>([
    [0, '0 B'],
    [1, '1 B'],
    [999, '999 B'],
    [1000, '0.977 KiB'],
    [1024, '1 KiB'],
    [1536, '1.5 KiB'],
    [1000 * 1024 - 1, '1e+03 KiB'],
    [1023385, '999 KiB'],
    [1000 * 1024, '0.977 MiB'],
    [10 * 1024 - 1, '10 KiB'],
    [100 * 1024 - 1, '100 KiB'],
    [3144192, '3 MiB'],
    [2 ** 50, '1 PiB'],
    [2n ** 64n - 1n, '16 EiB'],
  ])('formats %d bytes as %s, as qemu-img does', (bytes, text) => {
    expect(sizeText(bytes)).toBe(text);
  });

  it('rounds ties to the even digit, as printf does', () => {
    expect(sizeText(2.125 * 2 ** 20)).toBe('2.12 MiB');
    expect(sizeText(2.375 * 2 ** 20)).toBe('2.38 MiB');
    expect(sizeText(958.5 * 1024)).toBe('958 KiB');
    expect(sizeText(959.5 * 1024)).toBe('960 KiB');
  });

  it('differs from the size by at most half of its third digit', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), (bytes) => {
        const [number = '', unit = ''] = sizeText(bytes).split(' ');
        const power = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'].indexOf(unit);
        expect(Math.abs((Number(number) * 1024 ** power) / Number(bytes) - 1)).toBeLessThan(0.0051);
      }),
    );
  });
});
