/** Ends the process after a signal, even if its threads are blocked or its output is not read. Used by main.ts. */
import { exitAtOnce } from '../system/libc.js';
import { exitCodeOf, type StoppingSignal } from './interruption.js';

/** Milliseconds that a reader has for the last output. */
const PATIENCE = 100;

/** Does not return. */
export async function exitAfter(signal: StoppingSignal): Promise<void> {
  await Promise.all([process.stdout, process.stderr].map(flushed));
  exitAtOnce(exitCodeOf(signal));
  // The signal has no listener left, so it ends the process: a shell sees the same exit code.
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
