// Build and test configuration. Few files: the fewer modules Node.js loads, the sooner it starts.
import { readdirSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { type BuildEnvironmentOptions, build, type Plugin } from 'vite';
import { defineConfig } from 'vitest/config';

/** The test files that put other modules in the place of some: they share none. */
const MOCKING = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .map((file) => `test/${file}`)
  .filter((file) => file.endsWith('.test.ts') && /\bvi\.(mock|doMock)\(/.test(readFileSync(file, 'utf8')));

/** Campaigns and long stories, which test/run-all.sh and `npm run test:all` run, and `npm test` does not. */
const LONG = [
  'check/corrupt-images',
  'check/cut-images',
  'check/repair-power-loss',
  'e2e/backup-document',
  'e2e/broken-libraries',
  'e2e/containers',
  'e2e/debugger-signal',
  'e2e/descriptors',
  'e2e/dying-worker',
  'e2e/erring-engines',
  'e2e/ext4-disk',
  'e2e/generated-images-*',
  'e2e/hanging-calls',
  'e2e/image-size',
  'e2e/killed-anytime',
  'e2e/library-in-threads',
  'e2e/live-backup',
  'e2e/memory-limit',
  'e2e/native-memory',
  'e2e/nbd-matrix',
  'e2e/optional-packages',
  'e2e/package',
  'e2e/progress-time',
  'e2e/scarce-system',
  'e2e/small-disks',
  'e2e/untrusted-memory',
  'e2e/untrusted-tables',
  'engines/isal-processors',
  'faults/sweep',
  'fuzz/command-line-fuzz',
  'fuzz/deflate-fuzz',
  'fuzz/reader-fuzz',
  'measure/sampling',
  'qcow2/bitmaps-snapshots-oracle',
  'recipes/recipe-scripts',
  'soak/soak',
].map((name) => `test/${name}.test.ts`);
const omitted = process.env['QCOW2C_TESTS'] === 'few' ? LONG : [];

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

/** The worker, with the modules that it shares with the program: every thread loads and compiles it anew. */
function workerFile(): Plugin {
  return {
    name: 'worker-file',
    apply: 'build',
    async closeBundle() {
      const worker = bundle({ worker: 'src/workers/worker.ts' }, { inlineDynamicImports: true });
      await build({ configFile: false, esbuild, build: { ...worker, emptyOutDir: false } });
    },
  };
}

/**
 * commander is built in: Node.js would take 0.015 s to find, read and compile it. Its import of node:child_process, for
 * commands that are programs of their own, would take a third of that.
 */
function withoutPrograms(): Plugin {
  const NONE = '\0no-programs';
  return {
    name: 'without-programs',
    enforce: 'pre',
    resolveId: (name, importer) =>
      name === 'node:child_process' && importer?.includes('/commander/') ? NONE : undefined,
    load: (id) => (id === NONE ? 'export default {};' : undefined),
  };
}

/** Everything lands in dist/ itself, so that the worker is found beside whichever file starts it. */
function bundle(input: Record<string, string>, output: object): BuildEnvironmentOptions {
  return {
    target: 'node20',
    ssr: true,
    outDir: 'dist',
    emptyOutDir: true,
    minify: false,
    // The code is not minified, so a stack trace names its functions without maps.
    sourcemap: false,
    rollupOptions: {
      input,
      output: { format: 'cjs', entryFileNames: '[name].cjs', ...output },
    },
  };
}

/** V8 keeps a source with other characters in two bytes each. */
const esbuild = { charset: 'ascii' } as const;

export default defineConfig({
  esbuild,
  build: bundle(
    { index: 'src/index.ts', cli: 'src/cli/main.ts' },
    { chunkFileNames: '[name]-[hash].cjs', experimentalMinChunkSize: 60_000 },
  ),
  ssr: { noExternal: ['commander'] },
  plugins: [withoutPrograms(), moduleEntry(), workerFile()],
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
          exclude: [...MOCKING, ...omitted, 'test/packages/**', 'test/debian/**'],
          isolate: false,
        },
      },
      { test: { ...everyTest, name: 'isolated', include: MOCKING, exclude: omitted } },
    ],
  },
});
