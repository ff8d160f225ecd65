import { describe, expect, test } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { COMMANDS } from '../../src/cli/commands.js';
import { commandHelp, programHelp } from '../../src/cli/help/help-text.js';
import { optionsOf } from '../../src/cli/options/option-table.js';

const TABLES = COMMANDS.map(({ table }) => table);

describe('help', () => {
  test.each<readonly [string, string]>([
    ['of the program', programHelp(TABLES)],
    ...TABLES.map((table) => [`of ${table.name}`, commandHelp(table)] as const),
  ])('%s fits into 80 columns and has no blanks at the ends of its lines', (_, help) => {
    for (const line of help.split('\n')) {
      expect(line.length, line).toBeLessThanOrEqual(80);
      expect(line).toBe(line.trimEnd());
    }
    expect(help).not.toContain('\n\n\n');
  });

  test('of the program lists every command', () => {
    for (const { name } of TABLES) expect(programHelp(TABLES)).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  test.each(TABLES)('of $name is the output of --help and -h', (table) => {
    const text = commandHelp(table);
    for (const flag of ['--help', '-h']) {
      expect(parseCommandLine([table.name, flag])).toEqual({ kind: 'text', text });
    }
  });

  test.each(TABLES)('of $name lists only existing options', (table) => {
    for (const { flags, argument, bare } of optionsOf(table)) {
      for (const flag of flags) {
        expect(commandHelp(table)).toContain(`  ${flags.join(', ')}`);
        // An option that is known complains, if at all, of its value or of the operands that are missing.
        try {
          parseCommandLine([table.name, flag]);
        } catch (error) {
          expect(String(error)).not.toMatch(/unknown option/);
          if (argument !== undefined && bare === undefined) expect(String(error)).toMatch(/argument missing/);
        }
      }
    }
  });

  test.each(TABLES)('of $name has examples that are valid command lines', (table) => {
    expect(table.examples.length).toBeGreaterThan(0);
    for (const { line } of table.examples) {
      const [program, ...words] = line.split(' ');
      expect(program).toBe('qcow2c');
      expect(parseCommandLine(words).kind).toBe(table.name === 'help' ? 'text' : table.name);
    }
  });

  test('of the program has examples that are valid command lines', () => {
    const examples = [...programHelp(TABLES).matchAll(/^ {2}qcow2c (.*)$/gm)];
    expect(examples.length).toBeGreaterThan(1);
    for (const [, line = ''] of examples)
      expect(parseCommandLine(line.split(' ')).kind).toBe(line.split(' ')[0]);
  });
});
