/** Runs a long command: shows its progress, reports it on SIGUSR1, and stops the work in an orderly way on a signal. */
import { Qcow2cError } from '../errors.js';
import type { Progress } from '../workers/progress.js';
import { endPromptly } from '../workers/prompt-abort.js';
import type { CommandIo } from './command-io.js';
import { messageLine } from './failure.js';
import { exitCodeOf, Interruption } from './interruption.js';
import { openDisplay } from './progress/open-display.js';
import type { ProgressStyle } from './progress/progress-display.js';
import { ProgressRequest } from './progress/progress-request.js';

/** Milliseconds after a signal. The library takes less to abandon a call that does not return. */
const LONGEST_CLEAN_UP = 800;
/** The same where it also removes a temporary file, with a thread that a busy machine may start late. */
export const LONGEST_REMOVAL = 6000;

/** The callbacks and the signal that the work gets. */
export interface RunHooks {
  readonly onProgress: (progress: Progress) => void;
  /** undefined: always, because a display shows it. */
  readonly wantsShare: (() => boolean) | undefined;
  /** Aborted by a signal or an uncaught exception. */
  readonly signal: AbortSignal;
}

/** What a display needs to know of a result, and the end of the work. */
interface RunFacts<Result> {
  /** Whether it means that the work is complete. Default: it does. */
  readonly isComplete?: (result: Result) => boolean;
  /** The result for programs that follow the progress. Default: none. */
  readonly describe?: (result: Result) => object | undefined;
  /** Milliseconds that the work may take to end after a signal. */
  readonly patience?: number;
}

/**
 * @param what the name of the work, for the message about the signal that stopped it: "Conversion to 'x'"
 * @param run the work; rejects with ERR_ABORTED when its signal has ended it
 * @returns its result, or the exit code of the signal that stopped it
 * @throws any other error of the work, or an uncaught exception
 */
export async function longRun<Result>(
  what: string,
  style: ProgressStyle,
  io: CommandIo,
  run: (hooks: RunHooks) => Promise<Result>,
  { isComplete = () => true, describe = () => undefined, patience = LONGEST_CLEAN_UP }: RunFacts<Result> = {},
): Promise<{ readonly result: Result } | { readonly exitCode: number }> {
  const { process, stderr } = io;
  const interruption = new Interruption(process);
  const request = new ProgressRequest(process, stderr);
  const display = await openDisplay(style, io);
  display.start();
  try {
    const signal = interruption.abortSignal;
    let hasBegun = false;
    const onProgress = (state: Progress) => {
      if (!hasBegun && state.guestBytesDone > 0) {
        hasBegun = true;
        io.onFirstPart?.();
      }
      display.update(state);
      request.update(state);
    };
    const wantsShare = style === 'none' ? () => request.wantsShare() : undefined;
    const work = () => run({ onProgress, wantsShare, signal });
    const result = await endPromptly(signal, work, undefined, patience);
    display.end(isComplete(result), describe(result));
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
