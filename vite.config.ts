// Build and test configuration. Three entries, few files: the fewer modules Node.js loads, the sooner it starts.
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import type { Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The test files that put other modules in the place of some: they share none. */
const MOCKING = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((file) => `test/${file}`)
  .filter((file) => file.endsWith('.test.ts') && /\bvi\.(mock|doMock)\(/.test(readFileSync(file, 'utf8')));

const everyTest = { testTimeout: 120_000, hookTimeout: 120_000 };

/**
 * The library's entry for `import`: it names the exports of index.cjs. Node.js loads CommonJS in less than half the CPU
 * time of ES modules, and one build serves the program, the library and the workers.
 */
function moduleEntry(): Plugin {
  return {
    name: 'module-entry',
    generateBundle(_, bundle) {
      const entry = bundle['index.cjs'];
      if (entry?.type !== 'chunk') throw new Error('The build has no index.cjs');
      const source = `export { ${entry.exports.join(', ')} } from './index.cjs';\n`;
      this.emitFile({ type: 'asset', fileName: 'index.js', source });
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
      // Everything lands in dist/ itself, so that the worker is found beside whichever file starts it.
      output: {
        format: 'cjs',
        entryFileNames: '[name].cjs',
        chunkFileNames: '[name]-[hash].cjs',
        experimentalMinChunkSize: 60_000,
      },
    },
  },
  plugins: [moduleEntry()],
  test: {
    globalSetup: ['test/oracle/global-setup.ts'],
    // Tests wait for disks, servers and other programs a third of their time.
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    projects: [
      // One set of modules for all of them: a process for each file would take longer than most files.
      {
        test: {
          ...everyTest,
          name: 'shared',
          include: ['test/**/*.test.ts'],
          // Those have a configuration of their own.
          exclude: [...MOCKING, 'test/packages/**', 'test/debian/**'],
          isolate: false,
        },
      },
      { test: { ...everyTest, name: 'isolated', include: MOCKING } },
    ],
  },
});
