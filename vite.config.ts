// Build and test configuration. Three entries, few files: the fewer modules Node loads, the sooner it starts.
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The test files that put other modules in the place of some: they share none. */
const MOCKING = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((file) => `test/${file}`)
  .filter((file) => file.endsWith('.test.ts') && /\bvi\.(mock|doMock)\(/.test(readFileSync(file, 'utf8')));

const everyTest = { testTimeout: 120_000, hookTimeout: 120_000 };

/** Drops the files of each format that none of its entries loads. */
function keepEntries(entries: Readonly<Record<string, readonly string[]>>): Plugin {
  return {
    name: 'keep-entries',
    generateBundle({ format }, bundle) {
      const kept = new Set<string>();
      const keep = (file: string) => {
        const chunk = bundle[file];
        if (kept.has(file) || chunk?.type !== 'chunk') return;
        kept.add(file);
        for (const needed of [...chunk.imports, ...chunk.dynamicImports]) keep(needed);
      };
      for (const entry of entries[format] ?? []) keep(entry);
      for (const file of Object.keys(bundle)) if (!kept.has(file)) delete bundle[file];
    },
  };
}

export default defineConfig({
  build: {
    target: 'node20',
    ssr: true,
    outDir: 'dist',
    emptyOutDir: true,
    minify: false,
    // The code is not minified, so a stack trace names its functions without maps.
    sourcemap: false,
    rollupOptions: {
      input: { index: 'src/index.ts', cli: 'src/cli/main.ts', worker: 'src/workers/worker.ts' },
      // Optional: where it could not be compiled, the build must not look for it.
      external: ['fs-ext'],
      // Everything lands in dist/ itself, so that the worker is found beside whichever file starts it. The program is
      // CommonJS: Node.js loads it in less than half the CPU time of ES modules.
      output: [
        { format: 'es', entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
        {
          format: 'cjs',
          entryFileNames: '[name].cjs',
          chunkFileNames: '[name]-[hash].cjs',
          experimentalMinChunkSize: 60_000,
        },
      ],
    },
  },
  plugins: [keepEntries({ es: ['index.js', 'worker.js'], cjs: ['cli.cjs'] })],
  test: {
    globalSetup: ['test/oracle/global-setup.ts'],
    maxWorkers: availableParallelism(),
    projects: [
      // One set of modules for all of them: a process for each file would take longer than most files.
      {
        test: {
          ...everyTest,
          name: 'shared',
          include: ['test/**/*.test.ts'],
          exclude: MOCKING,
          isolate: false,
        },
      },
      { test: { ...everyTest, name: 'isolated', include: MOCKING } },
    ],
  },
});
