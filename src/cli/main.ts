/**
 * The program: bin/qcow2c.js imports this file and calls `main`, which connects a command line with this process.
 * `runCommandLine` runs one without touching the process.
 */
import { ioError } from '../errors.js';
import { failureText } from './failure.js';
import { exitAfter } from './forced-exit.js';
import { signalOf } from './interruption.js';
import { runCommandLine } from './run.js';

export { runCommandLine };

/** Exit codes for an answer that could not be written, where 1 is wrong: what a conversion prints is no answer. */
const CODES_WITHOUT_OUTPUT: Readonly<Record<string, number>> = { convert: 0, compare: 2 };

/** Runs the command line of this process, and ends the process after a signal. */
export async function main(): Promise<void> {
  const words = process.argv.slice(2);
  let codeWithoutOutput = 1;
  /** Why standard output could not be written. */
  let unwritten: Error | undefined;

  // A reader that has gone away must not end a conversion.
  process.stderr.on('error', () => {});
  // But a full disk must not be taken for an answer.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') unwritten ??= ioError('Could not write standard output', error);
  });
  process.on('exit', (code) => {
    if (code !== 0 || unwritten === undefined || codeWithoutOutput === 0) return;
    const debug = words.includes('--debug') || process.env['QCOW2C_DEBUG'] === '1';
    process.stderr.write(failureText(unwritten, debug));
    process.exitCode = codeWithoutOutput;
  });
  // Past a limit on the size of files a write shall fail, which cleans up, and not end the process.
  process.on('SIGXFSZ', () => {});

  const { stdout, stderr } = process;
  await runCommandLine(words, { stdout, stderr, process, now: () => performance.now() }, (kind) => {
    codeWithoutOutput = CODES_WITHOUT_OUTPUT[kind] ?? 1;
  });
  const signal = signalOf(Number(process.exitCode));
  if (signal !== undefined) await exitAfter(signal);
}
