import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseInteger, parseSize } from '../../src/cli/options/numbers.js';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';

const scratch = useScratch();

describe('parseSize', () => {
  test.each<[string, bigint]>([
    ['0', 0n],
    ['512', 512n],
    ['512b', 512n],
    ['4B', 4n],
    ['64k', 65536n],
    ['64K', 65536n],
    ['2M', 2n ** 21n],
    ['1g', 2n ** 30n],
    ['15T', 15n * 2n ** 40n],
    ['3P', 3n * 2n ** 50n],
    ['7E', 7n * 2n ** 60n],
    ['1.5M', 3n * 2n ** 19n],
    ['0.5k', 512n],
    ['4.k', 4096n],
    ['512.', 512n],
    ['512.00', 512n],
    ['12.345M', 12944671n],
    ['0.0005k', 1n],
    ['0.00048k', 0n],
    ['0x1000', 4096n],
    ['0X1f', 31n],
    ['0x20b', 523n],
    ['0x1E', 30n],
    ['00512', 512n],
    ['010', 10n],
    [' 4k', 4096n],
    ['+4k', 4096n],
    ['9223372036854775807', 2n ** 63n - 1n],
  ])('reads %j as qemu-img does', async (text, bytes) => {
    expect(parseSize(text)).toBe(bytes);
    const { stdout } = await run('qemu-img', ['create', '-f', 'raw', scratch('sized'), text]);
    expect(/ size=(\d+)/.exec(stdout)?.[1]).toBe(String(bytes));
  });

  test.each([
    '',
    ' ',
    'x',
    'k',
    '-1',
    '-0',
    '--1',
    '++4k',
    '4kk',
    '4kB',
    '4Ki',
    '4 k',
    '4k ',
    '1.5',
    '1.5b',
    '1e3',
    '1.5e1k',
    '.5k',
    '.',
    '0x',
    '0x1.8k',
    '1_000',
    '1,5M',
    'inf',
    'nan',
    '４k',
  ])('refuses %j as qemu-img does', async (text) => {
    expect(parseSize(text)).toBe('malformed');
    const { status, stderr } = await run('qemu-img', ['create', '-f', 'raw', scratch('refused'), '--', text]);
    expect(status).toBe(1);
    expect(stderr).toContain('Invalid image size specified. You may use k, M');
  });

  test('refuses hexadecimal with a unit, which QEMU calls deprecated', () => {
    expect(parseSize('0x1k')).toBe('malformed');
  });

  test('is limited to 64 bits', () => {
    expect(parseSize('18446744073709551615')).toBe(2n ** 64n - 1n);
    expect(parseSize('18446744073709551616')).toBe('too large');
    expect(parseSize('0xffffffffffffffff')).toBe(2n ** 64n - 1n);
    expect(parseSize('0x10000000000000000')).toBe('too large');
    expect(parseSize('15.999E')).toBeTypeOf('bigint');
    expect(parseSize('16E')).toBe('too large');
    expect(parseSize('9'.repeat(1000))).toBe('too large');
  });

  test('any number of bytes survives conversion to text', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }), fc.boolean(), (bytes, hexadecimal) => {
        const text = hexadecimal ? `0x${bytes.toString(16)}` : String(bytes);
        expect(parseSize(text)).toBe(bytes);
      }),
    );
  });
});

describe('parseInteger', () => {
  test.each<[string, number]>([
    ['0', 0],
    ['16', 16],
    ['0x10', 16],
    ['016', 14],
    ['00', 0],
    ['-5', -5],
    ['+5', 5],
    [' 2', 2],
  ])('reads %j as %d', (text, value) => {
    expect(parseInteger(text)).toBe(value);
  });

  test.each(['', 'x', '1k', '1.5', '16 ', '09', '0x', '1e3', '- 1', '--1'])('refuses %j', (text) => {
    expect(parseInteger(text)).toBe('malformed');
  });

  test('is limited to 64 bits', () => {
    expect(parseInteger('18446744073709551616')).toBe('too large');
  });
});
