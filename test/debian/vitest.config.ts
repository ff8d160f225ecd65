// `npm run test:debian`: the packages in a new Debian. Needs root, debootstrap and a Debian mirror.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('../../', import.meta.url)),
    include: ['test/debian/*.test.ts'],
    globalSetup: ['test/oracle/global-setup.ts'],
    testTimeout: 600_000,
    hookTimeout: 600_000,
    fileParallelism: false,
  },
});
