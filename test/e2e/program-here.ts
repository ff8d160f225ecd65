/**
 * The built program run in this process: its words, its two outputs and its exit code, without the start of Node.js
 * and without new threads for each run.
 */
import { EventEmitter } from 'node:events';
import { createRequire } from 'node:module';
import { RecordedOutput } from '../cli/recorded-output.js';
import type { Outcome } from '../oracle/run.js';

interface Program {
  runCommandLine(words: readonly string[], io: object): Promise<void>;
}

/** Loaded by Node.js itself, as bin/qcow2c.js loads it: Vitest must not transform the tested code. */
const load = createRequire(import.meta.url)('../../bin/start.js') as () => Promise<Program>;

/** The end of the run before: the working directory is the process's, so there is one run at a time. */
let last: Promise<unknown> = Promise.resolve();

/**
 * @param args the words after the program's name
 * @param cwd the working directory for the run
 */
export function runHere(args: readonly string[], cwd: string | undefined): Promise<Outcome> {
  const run = last.then(() => runOne(args, cwd));
  last = run.catch(() => {});
  return run;
}

async function runOne(args: readonly string[], cwd: string | undefined): Promise<Outcome> {
  const { runCommandLine } = await load();
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const events = Object.assign(new EventEmitter(), { exitCode: undefined as number | undefined });
  const before = process.cwd();
  if (cwd !== undefined) process.chdir(cwd);
  try {
    await runCommandLine(args, { stdout, stderr, process: events, now: () => performance.now() });
  } finally {
    if (cwd !== undefined) process.chdir(before);
  }
  return { status: events.exitCode ?? null, signal: null, stdout: stdout.text, stderr: stderr.text };
}
