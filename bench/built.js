// Where builds.js puts what only the benchmark needs.
import { fileURLToPath } from 'node:url';

export const ROOT = fileURLToPath(new URL('../', import.meta.url));
/** Inside the repository, so that the packages are found. */
export const CACHE = `${ROOT}node_modules/.cache/bench`;
/** The program whose workers have the engine of free-engine.js. */
export const FREE_ENGINE_PROGRAM = `${CACHE}/bin/qcow2c.js`;
/** A CommonJS module with the exports of engines.js. */
export const ENGINES = `${CACHE}/engines/engines.cjs`;
