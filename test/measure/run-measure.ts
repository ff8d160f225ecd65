/** Runs `measure` in this process, for comparison with qemu-img and with the output of convert. */
import { EventEmitter } from 'node:events';
import { inject } from 'vitest';
import { parseCommandLine } from '../../src/cli/command-line.js';
import { failureText } from '../../src/cli/failure.js';
import { measureCommand } from '../../src/cli/measure/command.js';
import { measureWith } from '../../src/measure/measure.js';
import type { Measurement, MeasureOptions } from '../../src/measure/options.js';
import { RecordedOutput } from '../cli/recorded-output.js';
import { run } from '../oracle/run.js';

const notBuilt = inject('notBuilt');
if (notBuilt !== undefined) throw new Error(notBuilt);

/** Threads run no TypeScript: the worker is the one that `npm run build` made. */
const WORKER = new URL('../../dist/worker.cjs', import.meta.url);

interface Printed {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Measures with this checkout's code. @param seed for another sample */
export function measureHere(options: MeasureOptions, seed?: number): Promise<Measurement> {
  return measureWith(options, { workerEntry: WORKER, seed });
}

/** As main.ts runs it. Names are looked for in the working directory. @param args without "measure" */
export async function ourMeasure(args: readonly string[]): Promise<Printed> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const measure = (options: MeasureOptions) => measureHere(options);
  const io = { stdout, stderr, process: new EventEmitter(), now: () => 0, measure };
  try {
    const request = parseCommandLine(['measure', ...args]);
    if (request.kind !== 'measure') throw new Error(`${args.join(' ')} asks for something else`);
    const status = await measureCommand(request, io);
    return { status, stdout: stdout.text, stderr: stderr.text };
  } catch (error) {
    return { status: 1, stdout: stdout.text, stderr: failureText(error, false) };
  }
}

/** The output of qemu-img for the same words. */
export function theirMeasure(args: readonly string[]): Promise<Printed> {
  return run('qemu-img', ['measure', ...args]);
}
