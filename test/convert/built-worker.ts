/** The parts of a conversion whose source is this checkout and whose worker is the built one. */
import { inject } from 'vitest';
import { type ConversionParts, convertWith } from '../../src/convert/convert.js';
import type { ConvertOptions, ConvertResult } from '../../src/convert/options.js';
import { openTarget } from '../../src/storage/open-target.js';

const notBuilt = inject('notBuilt');
if (notBuilt !== undefined) throw new Error(notBuilt);

/** Threads run no TypeScript: the worker is the one that `npm run build` made. */
const WORKER = new URL('../../dist/worker.cjs', import.meta.url);

/** Converts with this checkout's code; `parts` replaces some of it. */
export function convertHere(
  options: ConvertOptions,
  parts: Partial<ConversionParts> = {},
): Promise<ConvertResult> {
  return convertWith(options, { workerEntry: WORKER, openTarget, ...parts });
}

/** The entry of a worker made for tests. */
export function testWorker(name: string): URL {
  return new URL(`../workers/threads/${name}.mjs`, import.meta.url);
}
