/**
 * The option table in README.md is generated from the command table.
 * `npx vitest run test/cli/readme.test.ts -u` regenerates it.
 */
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { brief } from '../../src/cli/completion/offers.js';
import { CONVERT_TABLE } from '../../src/cli/convert/table.js';
import { flagsText } from '../../src/cli/help/help-text.js';
import { EVERYWHERE, type OptionRow, optionsOf } from '../../src/cli/options/option-table.js';

const README = fileURLToPath(new URL('../../README.md', import.meta.url));
const BEGIN = '<!-- options of convert: generated, see test/cli/readme.test.ts -->\n';
const END = '<!-- end of the options -->\n';

/** One line of the table: a name with its argument, and what a shell shows for it. */
function row(option: OptionRow): string {
  return `\`${flagsText(option)}\` | ${brief(option.help)}\n`.replaceAll('=VALUE[,KEY=VALUE...]', '=VALUE,…');
}

/** A table of GitHub's Markdown, without the outer bars. */
function optionTable(): string {
  const options = optionsOf(CONVERT_TABLE).filter((option) => !EVERYWHERE.includes(option));
  return `\noption | meaning\n--- | ---\n${options.map(row).join('')}\n`;
}

test('README.md has at most 1,600 words, so that a newcomer reads it', async () => {
  const words = (await readFile(README, 'utf8')).split(/\s+/).filter((word) => word !== '');
  expect(words.length).toBeLessThanOrEqual(1600);
});

test('README.md says in five lines what qcow2c is, and each of its recipes has at most ten', async () => {
  const text = await readFile(README, 'utf8');
  const [, first] = text.split('\n\n');
  expect(first!.split('\n')).toHaveLength(5);
  const recipes = text.slice(text.indexOf('\n## Recipes\n'), text.indexOf('\n## Options of convert\n'));
  const blocks = [...recipes.matchAll(/^```\w+\n(.*?)^```$/gms)].map(([, code]) =>
    code!.trimEnd().split('\n'),
  );
  expect(blocks).toHaveLength(4);
  for (const lines of blocks) expect(lines.length).toBeLessThanOrEqual(10);
});

test('README.md lists the options of convert with the first words of their help', async () => {
  const text = await readFile(README, 'utf8');
  const [before, between = '', ...none] = text.split(BEGIN);
  const [, after, ...more] = between.split(END);
  expect([none, more, typeof after], 'one pair of markers').toEqual([[], [], 'string']);
  await expect([before, BEGIN, optionTable(), END, after].join('')).toMatchFileSnapshot(README);
});
