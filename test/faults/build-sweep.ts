/** Builds the inputs of the sweep's process: the library with the failing calls, and the process as one file. */
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { runOk } from '../oracle/run.js';

const HERE = fileURLToPath(new URL('.', import.meta.url));
const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const EITHER_POOL = join(HERE, 'either-pool.ts');

/** @param directory for both */
export async function buildSweep(directory: string): Promise<{ library: string; program: string }> {
  await mkdir(directory, { recursive: true });
  const library = join(directory, 'failing-calls.so');
  const flags = ['-shared', '-fPIC', '-O1', '-Wall', '-Werror', '-o', library];
  await runOk('cc', [...flags, join(HERE, 'failing-calls.c'), '-ldl', '-lpthread']);
  // Beside it the packages are found that it does not contain.
  await symlink(join(ROOT, 'node_modules'), join(directory, 'node_modules'));
  await build({
    configFile: false,
    root: ROOT,
    logLevel: 'error',
    build: {
      ssr: true,
      outDir: directory,
      emptyOutDir: false,
      target: 'node20',
      minify: false,
      rollupOptions: { input: { 'sweep-process': join(HERE, 'sweep-process.ts') }, external: ['fs-ext'] },
    },
    plugins: [
      {
        name: 'either pool',
        enforce: 'pre',
        resolveId: (source, importer) =>
          source.endsWith('/workers/pool.js') && importer !== EITHER_POOL ? EITHER_POOL : undefined,
      },
    ],
  });
  return { library, program: join(directory, 'sweep-process.js') };
}
