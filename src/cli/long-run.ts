/**
 * What every command does that may take long: shows its progress, answers who asks for it, and lets signals end
 * the work in an orderly way.
 */
import { Qcow2cError } from '../errors.js';
import type { Progress } from '../workers/progress.js';
import { endPromptly } from '../workers/prompt-abort.js';
import type { CommandIo } from './command-io.js';
import { messageLine } from './failure.js';
import { exitCodeOf, Interruption } from './interruption.js';
import { openDisplay } from './progress/open-display.js';
import type { ProgressStyle } from './progress/progress-display.js';
import { ProgressRequest } from './progress/progress-request.js';

/** Milliseconds after a signal. The library gives up a call that does not return before that, and cleans up. */
const LONGEST_CLEAN_UP = 800;

/** What the work is given. */
export interface RunHooks {
  readonly onProgress: (progress: Progress) => void;
  /** Aborted by a signal, or by an error that nobody caught. */
  readonly signal: AbortSignal;
}

/**
 * @param what the work, for the line that says which signal stopped it: "Conversion to 'x'"
 * @param run the work; rejects with ERR_ABORTED when its signal has ended it
 * @param isComplete whether a result means that nothing was left undone
 * @returns its result, or the exit code of the signal that stopped it
 * @throws what the work throws for any other reason, or what nobody caught meanwhile
 */
export async function longRun<Result>(
  what: string,
  style: ProgressStyle,
  io: CommandIo,
  run: (hooks: RunHooks) => Promise<Result>,
  isComplete: (result: Result) => boolean = () => true,
): Promise<{ readonly result: Result } | { readonly exitCode: number }> {
  const { process, stderr } = io;
  const interruption = new Interruption(process);
  const request = new ProgressRequest(process, stderr);
  const display = await openDisplay(style, io);
  display.start();
  try {
    const signal = interruption.abortSignal;
    const onProgress = (state: Progress) => {
      display.update(state);
      request.update(state);
    };
    const work = () => run({ onProgress, signal });
    const result = await endPromptly(signal, work, undefined, LONGEST_CLEAN_UP);
    display.end(isComplete(result));
    return { result };
  } catch (error) {
    display.end(false);
    if (interruption.crash !== undefined) throw interruption.crash.error;
    if (interruption.signal === undefined) throw error;
    if (!(error instanceof Qcow2cError && error.code === 'ERR_ABORTED')) throw error;
    stderr.write(messageLine(`${what} stopped by ${interruption.signal}`));
    return { exitCode: exitCodeOf(interruption.signal) };
  } finally {
    request.release();
    interruption.release();
  }
}
