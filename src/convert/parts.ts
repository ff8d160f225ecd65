/** The parts of a conversion that measuring and tests replace, and what they are otherwise. */
import { openTarget } from '../storage/open-target.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import type { RunClusters } from './output.js';

export interface ConversionParts {
  readonly workerEntry: URL;
  readonly openTarget: typeof openTarget;
  /** Runs the items of a qcow2 image; default: all of them, through `runPipeline`. */
  readonly runClusters?: RunClusters | undefined;
}

export const BUILT_PARTS: ConversionParts = {
  workerEntry: BUILT_WORKER,
  openTarget,
};
