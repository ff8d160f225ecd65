/** The shape of the source tree: who may import whom, who may print. Each rule is shown to be able to fail. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { graphOf, parseModule, readGraph } from './architecture/module-graph.js';
import {
  cycles,
  deadModules,
  emptyNames,
  impureFormatModules,
  printsOrExits,
  strayPackages,
  unknownTargets,
  wrongDirections,
} from './architecture/rules.js';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const graph = readGraph(ROOT, 'src');

describe('the source tree', () => {
  test('imports point one way: cli, the commands, examine, workers and image, then engines, raw and qcow2, storage, system', () => {
    expect(wrongDirections(graph)).toEqual([]);
  });
  test('every import leads to a module that exists', () => {
    expect(unknownTargets(graph)).toEqual([]);
  });
  test('a package is imported only by the part it was chosen for', () => {
    expect(strayPackages(graph)).toEqual([]);
  });
  test('only the command line prints, exits or listens to signals', () => {
    expect(printsOrExits(graph)).toEqual([]);
  });
  test('the modules of the format do no input or output', () => {
    expect(impureFormatModules(graph)).toEqual([]);
  });
  test('no module has a name that says nothing', () => {
    expect(emptyNames(graph)).toEqual([]);
  });
  test('no modules import each other in a circle', () => {
    expect(cycles(graph)).toEqual([]);
  });
  test('every module is needed by an entry', () => {
    expect(deadModules(graph)).toEqual([]);
  });
  test('bin loads the built command line and nothing else of ours', () => {
    const importsOf = (path: string) =>
      parseModule(path, readFileSync(ROOT + path, 'utf8')).imports.map(({ target }) => target);
    expect(importsOf('bin/qcow2c.js')).toEqual(['inspector', 'bin/start.ts', 'fs']);
    expect(importsOf('bin/start.js')).toEqual(['dist/cli.ts']);
  });
});

describe('the rules can fail', () => {
  const both = (path: string, text: string, others: Record<string, string> = {}) =>
    graphOf({ [path]: text, ...others });

  test.each([
    ['src/storage/a.ts', `import { b } from '../qcow2/b.js';`],
    ['src/storage/a.ts', `import type { B } from '../qcow2/b.js';`],
    ['src/system/a.ts', `export { b } from '../qcow2/b.js';`],
    ['src/engines/a.ts', `export * from '../qcow2/b.js';`],
    ['src/raw/a.ts', `const b = await import('../qcow2/b.js');`],
    ['src/raw/a.ts', `type B = import('../qcow2/b.js').B;`],
    ['src/errors.ts', `import './qcow2/b.js';`],
    ['src/elsewhere/a.ts', `import '../qcow2/b.js';`],
    ['src/other.ts', `import './qcow2/b.js';`],
  ])('%s with %s points the wrong way', (path, text) => {
    expect(wrongDirections(both(path, text))).toEqual([`${path} must not import src/qcow2/b.ts`]);
  });

  test('an import down, within a directory or of a leaf is no breach', () => {
    const text = `import '../storage/b.js'; import './b.js'; import '../errors.js'; import 'node:fs';`;
    expect(wrongDirections(both('src/qcow2/a.ts', text))).toEqual([]);
  });

  test('a format may import the interfaces of image that it implements, and nothing of image that is loaded', () => {
    for (const from of ['raw', 'qcow2']) {
      const path = `src/${from}/a.ts`;
      expect(wrongDirections(both(path, `import type { B } from '../image/b.js';`))).toEqual([]);
      for (const text of [`import { b } from '../image/b.js';`, `import { type B } from '../image/b.js';`]) {
        expect(wrongDirections(both(path, text))).toEqual([`${path} must not import src/image/b.ts`]);
      }
    }
    expect(wrongDirections(both('src/engines/a.ts', `import type { B } from '../image/b.js';`))).toEqual([
      'src/engines/a.ts must not import src/image/b.ts',
    ]);
  });

  test('the library entry may not import the command line', () => {
    const text = `export * from './convert/a.js'; export * from './cli/a.js';`;
    expect(wrongDirections(both('src/index.ts', text))).toEqual([
      'src/index.ts must not import src/cli/a.ts',
    ]);
  });

  test('a module that is not there, and one only the run knows, are found', () => {
    const text = `import './b.js'; const c = await import(name);`;
    expect(unknownTargets(both('src/raw/a.ts', text))).toEqual([
      'src/raw/a.ts imports src/raw/b.ts, which does not exist',
      'src/raw/a.ts imports what only the run will tell',
    ]);
  });

  test('a stray package and an unknown package are found', () => {
    const text = `import 'koffi'; import type { C } from 'commander/esm.mjs'; import '@a/b/c';`;
    expect(strayPackages(both('src/system/seek.ts', `await import('fs-ext')`))).toEqual([]);
    expect(strayPackages(both('src/storage/a.ts', `await import('fs-ext')`))).toEqual([
      'src/storage/a.ts must not import fs-ext',
    ]);
    expect(strayPackages(both('src/engines/a.ts', text))).toEqual([
      'src/engines/a.ts must not import commander/esm.mjs',
      'src/engines/a.ts imports @a/b/c, which is no dependency',
    ]);
  });

  test.each([
    [`console.log('x')`, 'console.log'],
    [`process.stdout.write('x')`, 'process.stdout'],
    [`process.stderr.write('x')`, 'process.stderr'],
    [`process.exit(1)`, 'process.exit'],
    [`process.exitCode = 1`, 'process.exitCode'],
    [`process.on('SIGINT', f)`, 'process.on'],
    [`process['exit'](1)`, 'process'],
    [`const { exit } = process`, 'process'],
    [`globalThis.process.exit(1)`, 'process'],
    [`import { exit } from 'node:process'`, 'node:process'],
    [`import { log } from 'console'`, 'console'],
  ])('a library module with %s is found', (text, use) => {
    expect(printsOrExits(both('src/convert/a.ts', text))).toEqual([`src/convert/a.ts uses ${use}`]);
    expect(printsOrExits(both('src/cli/a.ts', text))).toEqual([]);
  });

  test('the platform may be asked for, and a member called process is no process', () => {
    const text = `if (process.platform === 'linux') this.process({ process: 1 });`;
    expect(printsOrExits(both('src/convert/a.ts', text))).toEqual([]);
  });

  test('a format module that opens files is found', () => {
    expect(impureFormatModules(both('src/qcow2/a.ts', `import { open } from 'node:fs/promises';`))).toEqual([
      'src/qcow2/a.ts must not import node:fs/promises',
    ]);
  });

  test('names that say nothing are found, names that only contain such a word are not', () => {
    const names = ['src/raw/utils.ts', 'src/helpers/a.ts', 'src/qcow2/l2-util.ts', 'src/storage/utility.ts'];
    expect(emptyNames(graphOf(Object.fromEntries(names.map((name) => [name, '']))))).toEqual(
      names.slice(0, 3),
    );
  });

  test('a circle is found, through types too', () => {
    const others = { 'src/raw/b.ts': `import type { C } from './c.js';`, 'src/raw/c.ts': `import './a.js';` };
    expect(cycles(both('src/raw/a.ts', `import './b.js';`, others))).toEqual([
      'src/raw/a.ts -> src/raw/b.ts -> src/raw/c.ts -> src/raw/a.ts',
    ]);
  });

  test('a module that nothing needs is found', () => {
    const others = {
      'src/raw/a.ts': `import './b.js';`,
      'src/raw/b.ts': '',
      'src/raw/c.ts': `import './a.js';`,
    };
    expect(deadModules(both('src/index.ts', `export type { A } from './raw/a.js';`, others))).toEqual([
      'nothing needs src/raw/c.ts',
    ]);
  });
});
