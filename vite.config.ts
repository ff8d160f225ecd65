// Build and test configuration. Three entries, few files: the fewer modules Node loads, the sooner it starts.
import { defineConfig } from 'vitest/config';

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
      output: { entryFileNames: '[name].js', chunkFileNames: '[name]-[hash].js' },
    },
  },
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/oracle/global-setup.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    maxWorkers: 2,
  },
});
