/** Prints lines on standard error while progress is shown there: warnings, and answers to SIGUSR1. */
import { messageLine } from '../failure.js';
import type { StandardStream } from './progress-display.js';

/** Clears a partly drawn line of progress. */
const CLEAR_LINE = '\r\x1b[K';
/** At its end the bar restores the last saved position, which must be below the lines printed meanwhile. */
const SAVE_POSITION = '\x1b7';

/**
 * @param lines whole lines, each with its line end
 * @returns a promise if the output's buffer is full; wait for it before printing more. It never rejects
 */
export function writeNotice(stderr: StandardStream, lines: string): Promise<void> | undefined {
  const goesOn = stderr.write(stderr.isTTY ? `${CLEAR_LINE}${lines}${SAVE_POSITION}` : lines);
  return goesOn || stderr.destroyed ? undefined : drained(stderr);
}

/** One for each output, so that each has a single listener. */
const draining = new WeakMap<StandardStream, Promise<void>>();

/** Resolves when the buffer has room again, or the reader is gone. */
function drained(output: StandardStream): Promise<void> {
  const known = draining.get(output);
  if (known !== undefined) return known;
  const promise = new Promise<void>((resolve) => {
    const events = ['drain', 'close', 'error'] as const;
    const end = () => {
      for (const event of events) output.off(event, end);
      draining.delete(output);
      resolve();
    };
    for (const event of events) output.on(event, end);
  });
  draining.set(output, promise);
  return promise;
}

/** @param message one sentence */
export function warn(stderr: StandardStream, message: string): void {
  void writeNotice(stderr, messageLine(`warning: ${message}`));
}
