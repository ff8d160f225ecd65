/** The structure of the source tree: allowed imports, and modules that may print. Each rule is shown to fail. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cruise, type ICruiseResult } from 'dependency-cruiser';
import { beforeAll, describe, expect, test } from 'vitest';
import { useScratch } from './e2e/scratch.js';

const ROOT = fileURLToPath(new URL('../', import.meta.url));
const RULES = createRequire(import.meta.url)('../.dependency-cruiser.cjs');
const scratch = useScratch();

async function violations(baseDir: string): Promise<string[]> {
  const { output } = await cruise(['src'], { ...RULES.options, ruleSet: RULES, validate: true, baseDir });
  const { summary } = output as ICruiseResult;
  expect(summary.totalCruised).toBeGreaterThan(0);
  return summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);
}

/** A tree with the given modules, and empty ones for everything that they import from the program. */
function tree(name: string, modules: Readonly<Record<string, string>>): string {
  const root = scratch(name);
  const put = (path: string, text: string) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), text);
  };
  const target = 'export const a = 1; export type A = number;';
  for (const path of Object.keys(modules)) {
    for (const [, specifier = ''] of (modules[path] as string).matchAll(/'(\.[^']*)\.js'/g)) {
      put(join(dirname(path), `${specifier}.ts`), target);
    }
  }
  for (const [path, text] of Object.entries(modules)) put(path, text);
  put('tsconfig.json', readFileSync(join(ROOT, 'tsconfig.json'), 'utf8'));
  return root;
}

test('every import of the program follows the rules', async () => {
  expect(await violations(ROOT)).toEqual([]);
});

describe('a rule finds', () => {
  const value = `import { a } from '../TARGET/a.js'; export const b = a;`;
  const type = `import type { A } from '../TARGET/a.js'; export type B = A;`;
  const to = (text: string, target: string) => text.replace('TARGET', target);

  const cases = [
    ['an arrow up', 'src/storage/up.ts', to(value, 'qcow2'), 'arrow-storage'],
    ['an arrow up of a type', 'src/system/b.ts', to(type, 'storage'), 'arrow-system'],
    ['an export from above', 'src/engines/b.ts', `export * from '../workers/a.js';`, 'arrow-engines'],
    [
      'an import at run time',
      'src/raw/run-time.ts',
      `export const b = import('../qcow2/a.js');`,
      'arrow-raw',
    ],
    ['a format that loads a module of image', 'src/qcow2/loads.ts', to(value, 'image'), 'arrow-qcow2'],
    ['a command that imports another one', 'src/map/b.ts', to(value, 'info'), 'arrow-map'],
    ['a leaf that imports', 'src/errors.ts', `export * from './qcow2/a.js';`, 'leaf'],
    ['a directory without a rule', 'src/elsewhere/b.ts', to(value, 'storage'), 'known-directory'],
    [
      'a library that imports the command line',
      'src/index.ts',
      `export * from './cli/a.js';`,
      'library-without-cli',
    ],
    ['a package outside its place', 'src/storage/package.ts', `import 'koffi';`, 'package-koffi'],
    ['an import that leads nowhere', 'src/raw/nowhere.ts', `import 'no-such-package';`, 'resolvable'],
    ['a format that opens files', 'src/qcow2/opens.ts', `import 'node:fs/promises';`, 'format-is-pure'],
    ['a circle', 'src/raw/circle.ts', `export * from './circle.js';`, 'no-circle'],
    ['a name that says nothing', 'src/raw/name.ts', `export * from './utils.js';`, 'no-empty-name'],
  ] as const;

  let broken: readonly string[];
  // Each module breaks one rule.
  beforeAll(async () => {
    broken = await violations(
      tree('broken', Object.fromEntries(cases.map(([, path, text]) => [path, text]))),
    );
  });

  test.each(cases)('%s', (_, path, __, rule) => {
    const found = broken.filter((violation) => violation.includes(`: ${path} -> `));
    expect(found.map((violation) => violation.split(':')[0])).toContain(rule);
  });

  test('nothing in imports of a lower directory, of the own one, of a leaf, and of a type that is implemented', async () => {
    const root = tree('allowed', {
      'src/qcow2/b.ts': `${to(value, 'storage')} export * from './c.js'; export * from '../errors.js'; import 'node:path';`,
      'src/raw/b.ts': to(type, 'image'),
      'src/convert/b.ts': to(value, 'check'),
    });
    expect(await violations(root)).toEqual([]);
  });
});

/** The properties of `process` that any module may use: constants and calls without effects. */
const FACTS = 'getBuiltinModule|platform|arch|versions?|pid|memoryUsage|hrtime|cpuUsage|geteuid|getuid';
const PRINTS_OR_EXITS = new RegExp(
  `\\bconsole\\b(?=[.;,)])|\\bprocess(?!\\.(${FACTS})\\b)(?=[.;,)[])|node:(process|console)`,
);

test('only the command line prints, exits, reads the environment or listens to signals', () => {
  const modules = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' });
  const library = modules.filter((path) => path.endsWith('.ts') && !path.startsWith('cli/'));
  const code = (path: string) =>
    readFileSync(join(ROOT, 'src', path), 'utf8').replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, '');
  expect(library.length).toBeGreaterThan(200);
  expect(library.filter((path) => PRINTS_OR_EXITS.test(code(path)))).toEqual([]);
  for (const use of [
    `console.log('x')`,
    'process.exit(1)',
    `process['exit'](1)`,
    'f(process)',
    `from 'node:process'`,
  ]) {
    expect(use).toMatch(PRINTS_OR_EXITS);
  }
  expect(`if (process.platform === 'linux') this.process({ process: 1 });`).not.toMatch(PRINTS_OR_EXITS);
});

test('bin loads only the built command line', () => {
  const importsOf = (path: string) =>
    [...readFileSync(join(ROOT, path), 'utf8').matchAll(/(?:require|import)\(?\s*['"]([^'"]+)['"]/g)].map(
      ([, name]) => name,
    );
  expect(importsOf('bin/qcow2c.js')).toEqual(['inspector', './start.js', 'fs']);
  expect(importsOf('bin/start.js')).toEqual([
    'node:module',
    './compile-cache.js',
    './cached-modules.js',
    '../dist/cli.cjs',
  ]);
  expect(importsOf('bin/cached-modules.js')).toEqual([
    'node:fs',
    'node:module',
    'node:path',
    'node:vm',
    'node:zlib',
  ]);
  expect(importsOf('bin/compile-cache.js')).toEqual(['node:fs', 'node:os', 'node:path']);
});
