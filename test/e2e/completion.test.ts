/** The scripts that complete command lines, in the shells that they are for. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS } from '../../src/cli/commands.js';
import { brief } from '../../src/cli/completion/offers.js';
import { optionsOf } from '../../src/cli/options/option-table.js';
import { runOk } from '../oracle/run.js';
import { cliOk, ROOT } from './cli.js';
import { useScratch } from './scratch.js';

const TABLES = COMMANDS.map(({ table }) => table);
const NAMES = TABLES.map(({ name }) => name);
const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

/** A file whose name would be taken for an option. */
const ODD_FILE = '--compress-me';

/** Command lines up to the cursor, and the ends that a shell offers for the last word. */
const CASES: readonly (readonly [line: string, ends: readonly string[]])[] = [
  ['qcow2c ', NAMES],
  ['qcow2c co', ['convert', 'compare', 'completion']],
  ['qcow2c x', []],
  ['qcow2c --v', ['--version']],
  ['qcow2c convert --comp', ['--compare-with-backing', '--compress', '--compressed-cache-size']],
  ['qcow2c convert disk.raw --recomp', ['--recompress']],
  // Arguments
  ['qcow2c info --output=', ['human', 'json']],
  ['qcow2c info --output=j', ['json']],
  ['qcow2c info --output=x', []],
  ['qcow2c info --output ', ['human', 'json']],
  ['qcow2c convert -O ', ['raw', 'qcow2']],
  ['qcow2c convert -Oq', ['qcow2']],
  ['qcow2c convert -cO ', ['raw', 'qcow2']],
  ['qcow2c convert -cOr', ['raw']],
  ['qcow2c convert -m ', []],
  ['qcow2c check --progress=', ['auto', 'bar', 'qemu', 'log', 'json', 'none']],
  // An argument that may be left out is never the next word.
  ['qcow2c check --progress ', ['disk.qcow2', 'disk.raw']],
  ['qcow2c check --progress d', ['disk.qcow2', 'disk.raw']],
  // Lists of -o
  ['qcow2c convert -o compression_ty', ['compression_type']],
  ['qcow2c convert -o compression_type=', ['zlib', 'zstd']],
  ['qcow2c convert -o cluster_size=64k,compression_ty', ['compression_type']],
  ['qcow2c convert -o cluster_size=64k,compression_type=zs', ['zstd']],
  ['qcow2c convert -ocluster_size=64k,compat=', ['v2', 'v3']],
  ['qcow2c convert -co cluster_size=64k,compat=', ['v2', 'v3']],
  ['qcow2c convert --target-format-options=cluster_size=64k,compat=', ['v2', 'v3']],
  // Files
  ['qcow2c convert d', ['disk.qcow2', 'disk.raw']],
  ['qcow2c compare disk.raw d', ['disk.qcow2', 'disk.raw']],
  ['qcow2c info d', ['disk.qcow2', 'disk.raw']],
  ['qcow2c convert -b d', ['disk.qcow2', 'disk.raw']],
  ['qcow2c convert --backing=d', ['disk.qcow2', 'disk.raw']],
  ['qcow2c convert -- --', [ODD_FILE]],
  ['qcow2c convert -c -- disk.raw --', [ODD_FILE]],
  // Other operands
  ['qcow2c completion ', SHELLS],
  ['qcow2c completion bash f', []],
  ['qcow2c help m', NAMES.filter((name) => name.startsWith('m'))],
  ['qcow2c help convert m', []],
  ['qcow2c man d', []],
  // A command whose name is also that of a file
  ['qcow2c info convert --back', ['--backing-chain']],
  ['qcow2c create --', []],
];
/** All options of each command. */
const ALL_OPTIONS = TABLES.map((table) => `qcow2c ${table.name} -`);

const scratch = useScratch();
const scripts = {} as Record<Shell, string>;

beforeAll(async () => {
  await mkdir(scratch('disks'));
  for (const name of ['disk.qcow2', 'disk.raw', ODD_FILE]) await writeFile(scratch('disks', name), '');
  for (const shell of SHELLS) {
    scripts[shell] = scratch(shell);
    await writeFile(scripts[shell], await cliOk(['completion', shell]));
  }
});

type Offered = Map<string, { readonly word: string; readonly description: string }[]>;

/** @param lines "> LINE", then words with their descriptions behind tabs */
function readOffered(lines: string): Offered {
  const offered: Offered = new Map();
  for (const line of lines.split('\n').slice(0, -1)) {
    if (line.startsWith('> ')) offered.set(line.slice(2), []);
    else {
      const [word = '', description = ''] = line.split('\t');
      [...offered.values()].at(-1)!.push({ word, description });
    }
  }
  return offered;
}

const driver = (shell: Shell) => join(ROOT, 'test/e2e/shells', `complete.${shell}`);
const cwd = () => scratch('disks');

/** @param breaks the characters at which bash cuts words */
async function inBash(lines: readonly string[], breaks = '=:'): Promise<Offered> {
  const cut = breaks === '' ? /$^/ : new RegExp(`([${breaks}]+)`);
  const words = (line: string) =>
    line
      .split(' ')
      .flatMap((word) => word.split(cut))
      .filter((word) => word !== '');
  const stdin = lines.map((line) => `${[line, ...words(line)].join('\t')}\n`).join('');
  return readOffered(await runOk('bash', ['--norc', driver('bash'), scripts.bash], { stdin, cwd: cwd() }));
}

/** @param load what makes the script known to zsh */
async function inZsh(lines: readonly string[], load = ''): Promise<Offered> {
  const folder = scratch('site-functions');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, '_qcow2c'), await cliOk(['completion', 'zsh']));
  const cases = scratch('zsh-cases');
  await writeFile(cases, lines.map((line) => `${line}\n`).join(''));
  const commands = load || `fpath=(${folder} $fpath); autoload -U compinit; compinit -u -D`;
  return readOffered(
    await runOk('zsh', ['-f', driver('zsh'), commands, cases, scratch('zsh-offered')], { cwd: cwd() }),
  );
}

/** fish finds the script among those of its user. */
async function inFish(lines: readonly string[]): Promise<Offered> {
  const completions = scratch('config', 'fish', 'completions');
  const programs = scratch('programs');
  for (const folder of [completions, programs]) await mkdir(folder, { recursive: true });
  await writeFile(join(completions, 'qcow2c.fish'), await cliOk(['completion', 'fish']));
  // fish completes nothing for a word that is not a program.
  await writeFile(join(programs, 'qcow2c'), '#!/bin/sh\n', { mode: 0o755 });
  const stdin = lines.map((line) => `${line}\n`).join('');
  return readOffered(
    await runOk('fish', [driver('fish')], {
      stdin,
      cwd: cwd(),
      env: {
        HOME: scratch('home'),
        XDG_CONFIG_HOME: scratch('config'),
        XDG_DATA_HOME: scratch('home'),
        PATH: `${programs}:${process.env['PATH']}`,
      },
    }),
  );
}

/**
 * The completions of a shell for the last word, without the part of the word before them: a letter, "=", the pairs of a
 * list. For an operand zsh offers options too, and for an option zsh and fish offer files.
 */
function ends(line: string, offered: Offered): string[] {
  const words = offered.get(line)!.map(({ word }) =>
    word
      .replace(/^-c?O(?=.)/, '')
      .replace(/=$/, '')
      .replace(/^.*[=,]/, ''),
  );
  if (line.endsWith(' ')) return words.filter((word) => !word.startsWith('-'));
  return line.includes(' -- ') ? words : words.filter((word) => word !== ODD_FILE);
}

const LINES = [...CASES.map(([line]) => line), ...ALL_OPTIONS];

describe.each([
  ['bash', () => inBash(LINES)],
  ['zsh', () => inZsh(LINES)],
  ['fish', () => inFish(LINES)],
] as const)('%s', (_shell, complete) => {
  let offered: Offered;
  beforeAll(async () => {
    offered = await complete();
  });

  test.each(CASES)('%j offers %j', (line, expected) => {
    expect(ends(line, offered).sort()).toEqual([...expected].sort());
  });

  test.each(TABLES)('offers all options of $name', (table) => {
    const flags = optionsOf(table).flatMap((row) => row.flags);
    expect([...new Set(ends(`qcow2c ${table.name} -`, offered))].sort()).toEqual([...flags].sort());
  });
});

describe.each([
  ['zsh', inZsh],
  ['fish', inFish],
] as const)('%s', (_shell, complete) => {
  let offered: Offered;
  beforeAll(async () => {
    offered = await complete(['qcow2c ', ...ALL_OPTIONS]);
  });
  const explained = (line: string) =>
    new Map(offered.get(line)!.map(({ word, description }) => [word.replace(/=$/, ''), description]));

  test.each(TABLES)('explains the options of $name', (table) => {
    const found = explained(`qcow2c ${table.name} -`);
    for (const { flags, help } of optionsOf(table)) {
      for (const flag of flags) expect(found.get(flag), flag).toBe(brief(help));
    }
  });

  test('explains the commands', () => {
    const found = explained('qcow2c ');
    for (const { name, summary } of TABLES) expect(found.get(name)).toBe(summary);
  });
});

test('zsh takes the script from a source command too', async () => {
  const load = `autoload -U compinit; compinit -u -D; source ${scripts.zsh}`;
  const offered = await inZsh(['qcow2c co', 'qcow2c info --output=j'], load);
  expect([...offered.values()].map((words) => words.map(({ word }) => word))).toEqual([
    ['convert', 'compare', 'completion'],
    ['json'],
  ]);
});

test('bash knows an argument from the end of the options', async () => {
  const offered = await inBash(['qcow2c convert -l -- --compress-', 'qcow2c convert -- --compress-']);
  expect([...offered.values()].map((words) => words.map(({ word }) => word))).toEqual([[], [ODD_FILE]]);
});

test('bash need not cut words at "="', async () => {
  const lines = ['qcow2c info --output=j', 'qcow2c convert -o cluster_size=64k,compression_type=zs'];
  expect([...(await inBash(lines, '')).values()].map((words) => words.map(({ word }) => word))).toEqual([
    ['--output=json'],
    ['cluster_size=64k,compression_type=zstd'],
  ]);
});
