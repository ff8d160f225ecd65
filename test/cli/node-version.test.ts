/** bin/qcow2c.js can be read by a Node.js of any age, and starts the program in one that package.json names. */
import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { Script } from 'node:vm';
import ts from 'typescript';
import { expect, test } from 'vitest';
import { cli } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';

const textOf = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');
const program = textOf('bin/qcow2c.js');
const scratch = useScratch();

/** Runs the file as CommonJS with a Node.js of that version around it. */
function runWith(
  version: string,
  command = 'convert',
): { started: boolean; said: string[]; exitCode: number | undefined } {
  const seen = { started: false, said: [] as string[], exitCode: undefined as number | undefined };
  const process = {
    version,
    argv: ['node', 'qcow2c', command],
    execArgv: [],
    env: {},
    features: { inspector: false },
    on: () => {},
    exit: (code: number) => {
      seen.exitCode = code;
    },
  };
  const require = (name: string) => {
    expect(name).toBe('./start.js');
    return () => {
      seen.started = true;
      return new Promise(() => {});
    };
  };
  const console = { error: (line: string) => seen.said.push(line) };
  new Script(program).runInNewContext({ process, require, console });
  return seen;
}

/** Whether a version is in a range made of `^1.2.3` and `>=1.2.3` with `||` between them. */
function isIn(range: string, version: string): boolean {
  const found = numbersOf(version);
  return range.split('||').some((part) => {
    const least = numbersOf(part);
    const index = found.findIndex((number, at) => number !== least[at]);
    const isOlder = index >= 0 && found[index]! < least[index]!;
    return !isOlder && (part.trim().startsWith('>=') || found[0] === least[0]);
  });
}
const numbersOf = (version: string) => (version.match(/\d+/g) ?? []).map(Number);

test('it starts the program in the versions that package.json names, and in no others', () => {
  const { engines } = JSON.parse(textOf('package.json')) as { engines: { node: string } };
  const minors = [0, 1, 11, 12, 18, 19, 20, 99];
  const versions = Array.from({ length: 31 }, (_, major) =>
    minors.map((minor) => `v${major}.${minor}.0`),
  ).flat();
  for (const version of versions) {
    const { started, exitCode, said } = runWith(version);
    expect([version, started]).toEqual([version, isIn(engines.node, version)]);
    expect([version, exitCode]).toEqual([version, started ? undefined : 1]);
    const line = `qcow2c: Node.js 20.19, 22.12, 24 or newer is needed, but this is Node.js ${version}`;
    expect(said).toEqual(started ? [] : [line]);
  }
  // For compare 1 means that the images differ.
  expect(runWith('v18.20.8', 'compare').exitCode).toBe(2);
});

test.each(['v20.19.0-nightly2025', 'v24.0.0-rc.1'])('it parses the version %s', (version) => {
  expect(runWith(version).started).toBe(true);
});

test('its syntax is that of ES5', () => {
  const compiled = (text: string, target: ts.ScriptTarget) =>
    ts.transpileModule(text, { compilerOptions: { target, alwaysStrict: false, module: ts.ModuleKind.None } })
      .outputText;
  const isES5 = (text: string) =>
    compiled(text, ts.ScriptTarget.ES5) === compiled(text, ts.ScriptTarget.ESNext);
  expect(isES5(program)).toBe(true);
  for (const newer of [
    'const a = 1;',
    'f(() => 1);',
    'f(`a`);',
    "import('a');",
    'a?.b;',
    'a ?? b;',
    'f(...a);',
  ]) {
    expect([newer, isES5(`${program}${newer}`)]).toEqual([newer, false]);
  }
});

test('an old Node.js prints one line, and the exit code is 1', async () => {
  const old = scratch('old.cjs');
  await writeFile(old, `Object.defineProperty(process, 'version', { value: 'v18.20.8' });`);
  expect(await cli(['--version'], { nodeOptions: ['--require', old] })).toEqual({
    status: 1,
    signal: null,
    stdout: '',
    stderr: 'qcow2c: Node.js 20.19, 22.12, 24 or newer is needed, but this is Node.js v18.20.8\n',
  });
});
