/**
 * Ends the process after a signal, whatever its threads wait for and whether or not its output is read. Used by main.ts.
 */
import { exitAtOnce } from '../system/libc.js';
import { exitCodeOf, type StoppingSignal } from './interruption.js';

/** Milliseconds that a reader has to take what was printed last. */
const PATIENCE = 100;

/** Does not return. */
export async function exitAfter(signal: StoppingSignal): Promise<void> {
  await Promise.all([process.stdout, process.stderr].map(flushed));
  exitAtOnce(exitCodeOf(signal));
  // Nothing listens to the signal any more, so it ends the process: a shell sees the same exit code.
  process.kill(process.pid, signal);
}

function flushed(stream: NodeJS.WriteStream): Promise<void> | undefined {
  if (stream.writableLength === 0) return undefined;
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, PATIENCE);
    stream.once('drain', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
