/** The maximum width of texts, and the shortening of names. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FONT_SIZES, fitted, type TextKind, textWidth } from '../../../../src/cli/map/svg/text-width.js';

const KINDS = Object.keys(FONT_SIZES) as TextKind[];

describe('the width of a text', () => {
  test('is at least that of DejaVu Sans', () => {
    // In units of 1/2048 em, from the font itself.
    const text = 'The data file /var/lib/disk-2026.qcow2 (MiB) @ 100 %';
    const dejavu = 52_000;
    expect(textWidth(text, 'amount') / FONT_SIZES.amount).toBeGreaterThan(dejavu / 2048);
    expect(textWidth('WWWW', 'label') / FONT_SIZES.label).toBeGreaterThan((4 * 2025) / 2048);
    expect(textWidth('iiii', 'label') / FONT_SIZES.label).toBeGreaterThan((4 * 569) / 2048);
  });

  test('grows with the letters, more for wide ones, and not for combining marks', () => {
    expect(textWidth('仮想', 'amount')).toBeGreaterThanOrEqual(2 * FONT_SIZES.amount);
    expect(textWidth('🐧', 'amount')).toBeGreaterThan(FONT_SIZES.amount);
    expect(textWidth('e\u0301', 'amount')).toBe(textWidth('e', 'amount'));
    expect(textWidth('a', 'title') / FONT_SIZES.title).toBeGreaterThan(
      textWidth('a', 'facts') / FONT_SIZES.facts,
    );
  });
});

describe('a name', () => {
  test('that fits is unchanged; a long one loses its middle, and keeps more of its end', () => {
    expect(fitted('short.qcow2', 200, 'amount')).toBe('short.qcow2');
    const long = fitted(`/var/lib/${'x'.repeat(100)}/disk-of-monday.qcow2`, 200, 'amount');
    expect(long).toMatch(/^\/var\/l[^…]*….*-monday\.qcow2$/);
  });

  test('of any characters fits, and no character is divided', () => {
    const names = fc.array(fc.constantFrom('a', 'W', '層', 'é', 'e\u0301', '👨‍👩‍👧', ' ', '\u0639', '-'), {
      maxLength: 200,
    });
    fc.assert(
      fc.property(
        names,
        fc.integer({ min: 30, max: 900 }),
        fc.constantFrom(...KINDS),
        (parts, most, kind) => {
          const name = parts.join('');
          const result = fitted(name, most, kind);
          expect(textWidth(result, kind)).toBeLessThanOrEqual(most);
          if (result === name) return;
          const [head = '', tail = ''] = result.split('…');
          expect([name.startsWith(head), name.endsWith(tail)]).toEqual([true, true]);
          const count = (text: string) => [...new Intl.Segmenter().segment(text)].length;
          const middle = name.slice(head.length, name.length - tail.length);
          expect(count(head) + count(middle) + count(tail)).toBe(count(name));
        },
      ),
    );
  });
});
