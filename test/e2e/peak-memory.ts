/** The largest resident size of a run of the built command line. */
import { readFileSync, writeFileSync } from 'node:fs';
import type { Outcome } from '../oracle/run.js';
import { cli } from './cli.js';

interface PeakOutcome extends Outcome {
  /** KiB. */
  readonly peak: number;
}

/**
 * Runs qcow2c to its end. getrusage includes the parent's peak, so the process writes its own.
 * @param note a file for it
 */
export async function cliWithPeak(args: readonly string[], note: string): Promise<PeakOutcome> {
  const tell =
    'data:text/javascript,import{isMainThread}from"node:worker_threads";import{readFileSync,writeFileSync}from"node:fs";' +
    'const peak=()=>/VmHWM:\\s*(\\d+)/.exec(readFileSync("/proc/self/status","latin1"))[1];' +
    `if(isMainThread)process.on("exit",()=>writeFileSync(${JSON.stringify(note)},peak()));`;
  writeFileSync(note, '');
  const outcome = await cli(args, { nodeOptions: ['--import', tell] });
  return { ...outcome, peak: Number(readFileSync(note, 'utf8')) };
}
