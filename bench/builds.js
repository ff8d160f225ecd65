// The builds that only the benchmark needs: the program with an engine that costs nothing, and the engines alone for the
// engine loop. Both are made anew at the start of every run.
import { cpSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';
import { CACHE, ROOT } from './built.js';

const FREE_ENGINE = fileURLToPath(new URL('free-engine.js', import.meta.url));

const freeEngine = {
  name: 'free engine',
  enforce: /** @type {const} */ ('pre'),
  resolveId: (/** @type {string} */ source, /** @type {string | undefined} */ importer) =>
    source.endsWith('/engines/create-engine.js') && importer?.endsWith('/worker-session.ts')
      ? FREE_ENGINE
      : undefined,
};

/** @param {Record<string, string>} input @param {string} outDir @param {import('vite').Plugin[]} plugins */
function bundle(input, outDir, plugins = []) {
  return build({
    configFile: false,
    root: ROOT,
    logLevel: 'error',
    plugins,
    build: {
      ssr: true,
      target: 'node20',
      minify: false,
      outDir,
      rollupOptions: {
        input,
        external: ['fs-ext'],
        output: { format: 'cjs', entryFileNames: '[name].cjs', chunkFileNames: '[name]-[hash].cjs' },
      },
    },
  });
}

export async function makeBuilds() {
  rmSync(CACHE, { recursive: true, force: true });
  const program = { cli: 'src/cli/main.ts', worker: 'src/workers/worker.ts' };
  await bundle(program, `${CACHE}/dist`, [freeEngine]);
  await bundle({ engines: 'bench/engines.js' }, `${CACHE}/engines`);
  cpSync(`${ROOT}bin`, `${CACHE}/bin`, { recursive: true });
  cpSync(`${ROOT}package.json`, `${CACHE}/package.json`);
}
