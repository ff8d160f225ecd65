/** Modules compiled by an earlier run: what runs is always the source that is there. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { useScratch } from '../e2e/scratch.js';

const LOADER = createRequire(import.meta.url).resolve('../../bin/cached-modules.js');
const scratch = useScratch();
const [program, directory] = [scratch('program'), scratch('compiled')];
const main = join(program, 'main.cjs');
const part = join(program, 'part.cjs');

/** @returns what the program prints with the argument, run by a process of its own */
function run(argument = 7, ...options: string[]): string {
  const script = `new (require(${JSON.stringify(LOADER)}).CachedModules)(${JSON.stringify(directory)}).load(${JSON.stringify(main)})`;
  const words = [...options, '-e', script, String(argument)];
  return execFileSync(process.execPath, words, { encoding: 'utf8', stdio: 'pipe' });
}

/** @returns the files with compiled modules, by the modules' sizes: the largest first */
function compiledFiles(): string[] {
  const [version] = readdirSync(directory);
  const files = readdirSync(join(directory, version ?? '')).map((name) =>
    join(directory, version ?? '', name),
  );
  return files.sort((a, b) => statSync(b).size - statSync(a).size);
}

/** Writes a module with functions, far longer than the other one. */
function writePart(letter: string): void {
  const functions = Array.from({ length: 50 }, (_, i) => `exports.f${i} = () => '${letter}${i}'.repeat(1);`);
  writeFileSync(part, `${functions.join('\n')}\nexports.name = require('node:path').basename(__filename);\n`);
}

beforeEach(() => {
  for (const path of [program, directory]) {
    rmSync(path, { recursive: true, force: true });
    mkdirSync(path);
  }
  const call = `part['f' + process.argv[1]]()`;
  writeFileSync(main, `const part = require('./part.cjs');\nprocess.stdout.write(${call} + part.name);\n`);
  writePart('a');
});

test('later runs use what the first have compiled, which only the user can read', () => {
  const state = () => compiledFiles().map((path) => [statSync(path).ino, statSync(path).mode & 0o777]);
  for (let runs = 0; runs < 4; runs += 1) expect(run()).toBe('a7part.cjs');
  const before = state();
  expect(before.map(([, mode]) => mode)).toEqual([0o600, 0o600]);
  expect(run(5)).toBe('a5part.cjs');
  expect(state()).toEqual(before);
});

test('the first four runs add the functions that they call', () => {
  const sizes = [1, 2, 3, 4, 5].map((called) => {
    expect(run(called)).toBe(`a${called}part.cjs`);
    return statSync(compiledFiles()[0] ?? '').size;
  });
  expect(sizes).toEqual([...new Set(sizes.slice(0, 4)), sizes[3]].sort((a = 0, b = 0) => a - b));
});

test('another source of the same length is compiled anew', () => {
  run();
  writePart('b');
  expect(run()).toBe('b7part.cjs');
  expect(run()).toBe('b7part.cjs');
});

test.each<[string, (content: Buffer) => Buffer]>([
  ['empty', () => Buffer.alloc(0)],
  ['cut off', (content) => content.subarray(0, content.length / 2)],
  ['overwritten with zeros, as after a power failure', (content) => Buffer.from(content).fill(0, 64)],
  ['of another module', () => readFileSync(compiledFiles()[1] ?? '')],
])('a compiled module that is %s is replaced', (_, damage) => {
  run();
  const [file = ''] = compiledFiles();
  const whole = readFileSync(file);
  writeFileSync(file, damage(whole));
  expect(run()).toBe('a7part.cjs');
  expect(readFileSync(file).length).toBe(whole.length);
});

test('what V8 compiled with other options is replaced', () => {
  run();
  expect(run(7, '--no-opt')).toBe('a7part.cjs');
  expect(run()).toBe('a7part.cjs');
});

test.each<[string, (path: string) => void]>([
  ['a named pipe', (path) => execFileSync('mkfifo', [path])],
  ['a directory', (path) => mkdirSync(path)],
  ['far too large', (path) => execFileSync('truncate', ['-s', '1T', path])],
])('a file that is %s is not read', (_, make) => {
  run();
  const [file = ''] = compiledFiles();
  rmSync(file);
  make(file);
  expect(run()).toBe('a7part.cjs');
});

test('what a killed run has left is removed', () => {
  run();
  const [file = ''] = compiledFiles();
  rmSync(file);
  writeFileSync(`${file}.new`, 'half of it');
  for (let runs = 0; runs < 2; runs += 1) expect(run()).toBe('a7part.cjs');
  expect(readdirSync(dirname(file))).toHaveLength(2);
  expect(statSync(file).size).toBeGreaterThan(1000);
});

test('a directory that cannot be made is no error', () => {
  rmSync(directory, { recursive: true });
  writeFileSync(directory, '');
  expect(run()).toBe('a7part.cjs');
  expect(run()).toBe('a7part.cjs');
});

test('an error of the program names its file and line', () => {
  writeFileSync(part, `\n\nthrow new Error('no luck');\n`);
  expect(() => run()).toThrow(`${part}:3`);
});
