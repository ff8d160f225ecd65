import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../../src/cli/commands.js';
import { manualPage } from '../../../src/cli/man/page.js';
import { bold, entry, italic, lines, verbatim } from '../../../src/cli/man/roff.js';
import { formatOptionKeys } from '../../../src/cli/options/format-option-keys.js';
import { optionsOf } from '../../../src/cli/options/option-table.js';
import { run, runOk } from '../../oracle/run.js';

const COMMITTED = fileURLToPath(new URL('../../../docs/qcow2c.1', import.meta.url));
const TABLES = COMMANDS.map(({ table }) => table);
const PAGE = manualPage(TABLES);

/** @returns the text on a terminal, without bold type and underlines, and with unlimited lines */
async function rendered(roff: string): Promise<string> {
  const args = ['-man', '-ww', '-Tutf8', '-rLL=1000n', '-P-cbou'];
  const { status, stdout, stderr } = await run('groff', args, { stdin: roff });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

describe('the manual page', () => {
  let text: string;
  /** As wide as man makes it in a terminal of 80 columns. */
  let narrow: string;
  beforeAll(async () => {
    text = await rendered(PAGE);
    narrow = await runOk('groff', ['-man', '-Tutf8', '-rLL=78n', '-P-cbou'], { stdin: PAGE });
  });

  test('in docs is the output of qcow2c man (node bin/qcow2c.js man > docs/qcow2c.1)', async () => {
    expect(await readFile(COMMITTED, 'utf8')).toBe(PAGE);
  });

  test('fits into 80 columns', () => {
    for (const line of narrow.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
  });

  test('breaks no word, so that names of options and keys can be searched', () => {
    expect(narrow).not.toMatch(/\u2010/);
  });

  test('has the usual sections of manual pages', () => {
    const titles = text.match(/^[A-Z][A-Z ]*$/gm);
    expect(titles).toEqual([
      ...['NAME', 'SYNOPSIS', 'DESCRIPTION', 'COMMANDS', 'OPTIONS OF EVERY COMMAND', 'OPTIONS OF IMAGES'],
      ...['EXIT STATUS', 'ENVIRONMENT', 'FILES', 'EXAMPLES', 'SEE ALSO'],
    ]);
  });

  test.each(TABLES)('documents all of $name', (table) => {
    for (const line of table.synopsis) expect(text).toMatch(plainly(`       ${line}`));
    for (const { flags, help } of optionsOf(table)) {
      const at = text.search(new RegExp(`^ {7}${flags.join(', ')}\\b`, 'm'));
      expect(at, flags[0]).toBeGreaterThan(0);
      expect(text.replace(/\s+/g, ' ')).toContain(help);
    }
    for (const { line } of table.examples) expect(text).toMatch(plainly(`       ${line}`));
    for (const [, meaning] of table.exitCodes) expect(text).toContain(meaning);
  });

  test('documents the keys of -o', () => {
    for (const format of ['qcow2', 'raw'] as const) {
      for (const { key, help } of formatOptionKeys(format)) {
        expect(text).toContain(`       ${key}=`);
        expect(text).toContain(help);
      }
    }
  });
});

/** A whole line. */
function plainly(line: string): RegExp {
  return new RegExp(`^${line.replace(/[[\](){}.*+?|^$\\]/g, '\\$&')}$`, 'm');
}

describe('text', () => {
  const words = fc
    .array(
      fc.string({
        unit: fc.integer({ min: 33, max: 126 }).map((code) => String.fromCharCode(code)),
        minLength: 1,
      }),
      {
        minLength: 1,
        maxLength: 5,
      },
    )
    .map((parts) => parts.join(' '));

  test('is printed unchanged, with all special characters escaped', async () => {
    const samples = [
      ...['.TH', "'br", '\\fB', '-o', '--long-name', "it's", '"quoted"', '`~^', '..', '.\\"', '% \\n(.l'],
      ...fc.sample(words, 200),
    ];
    const roff = samples.map((text) => `.PP\n${verbatim([text])}.PP\n${bold(text)}\n`).join('');
    const page = await rendered(`.TH X 1\n.nh\n.SH S\n.nf\n${roff}`);
    const shown = page
      .split('\n')
      .slice(5, -2)
      .map((line) => line.trim());
    expect(shown.filter((line) => line !== '')).toEqual(samples.flatMap((text) => [text, text]));
  });

  test('that is wrapped never begins a line with a request', async () => {
    const long = `${'word '.repeat(19)}${'.TH '.repeat(30)}'br \\n`;
    const page = await rendered(
      `.TH X 1\n.SH S\n${lines('.SH')}${entry(italic('.SH'), lines(bold(long.trim())))}`,
    );
    expect(page.replace(/\s+/g, ' ')).toContain(`S .SH .SH ${long.trim()}`);
  });
});
