/** What the bundler made of the worker: fs-ext must not have come in through a chunk it shares. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { loadedFrom, parseModule } from '../architecture/module-graph.js';
import { ROOT } from './cli.js';

test('dist/worker.js and everything it loads never mention fs-ext', async () => {
  const graph = new Map<string, ReturnType<typeof parseModule>>();
  const parse = async (path: string): Promise<void> => {
    if (graph.has(path)) return;
    // The parser names modules by their source, .ts; what is built ends in .js.
    graph.set(path, parseModule(path, await readFile(join(ROOT, path.replace(/\.ts$/, '.js')), 'utf8')));
    for (const { target } of graph.get(path)!.imports) if (target.startsWith('dist/')) await parse(target);
  };
  await parse('dist/worker.ts');
  const loaded = [...loadedFrom(graph, 'dist/worker.ts').keys()];
  expect(loaded.length).toBeGreaterThan(1);
  expect(loaded).not.toContain('fs-ext');
  expect(loaded.filter((path) => graph.get(path)?.strings.includes('fs-ext'))).toEqual([]);
});
