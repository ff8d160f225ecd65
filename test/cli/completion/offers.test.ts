import { describe, expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.js';
import { brief, offerOf } from '../../../src/cli/completion/offers.js';
import { optionsOf } from '../../../src/cli/options/option-table.js';

const TABLES = COMMANDS.map(({ table }) => table);

describe('the explanation of an option in a list', () => {
  test.each([
    ['copy the bitmaps', 'copy the bitmaps'],
    ['format of DST: qcow2 or raw (default: raw)', 'format of DST'],
    ['leave them out (with --bitmaps)', 'leave them out'],
    ['most bytes; 0: no limit', 'most bytes'],
  ])('of %j is %j', (help, shown) => {
    expect(brief(help)).toBe(shown);
  });

  test.each(TABLES)('is short and describes the option, for $name', (table) => {
    for (const { flags, help } of optionsOf(table)) {
      expect(brief(help).length, flags[0]).toBeLessThanOrEqual(64);
      expect(brief(help).split(' ').length, `${flags[0]}: ${brief(help)}`).toBeGreaterThan(1);
      expect(brief(help), flags[0]).not.toMatch(/^(with|default) /);
    }
  });
});

test.each(TABLES)('offered words need no quotes in any shell, for $name', (table) => {
  for (const row of optionsOf(table)) {
    const offer = offerOf(row);
    const words =
      offer?.kind === 'words'
        ? offer.words
        : offer?.kind === 'pairs'
          ? Object.entries(offer.keys).flatMap(([key, values]) => [key, ...values])
          : [];
    for (const word of words) expect(word).toMatch(/^[\w.-]+$/);
  }
});
