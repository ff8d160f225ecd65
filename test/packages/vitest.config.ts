// `npm run test:packages`: the packages that `npm run package` made. They use no network.
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    root: fileURLToPath(new URL('../../', import.meta.url)),
    include: ['test/packages/*.test.ts'],
    globalSetup: ['test/oracle/global-setup.ts'],
    testTimeout: 300_000,
    hookTimeout: 300_000,
  },
});
