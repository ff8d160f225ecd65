/** Lines on standard error that come while progress is shown there: warnings, and answers to SIGUSR1. */
import { messageLine } from '../failure.js';
import type { StandardStream } from './progress-display.js';

/** Takes away a half-drawn line of progress. */
const CLEAR_LINE = '\r\x1b[K';
/** At its end the bar goes back to the position saved last: that must be below what was said meanwhile. */
const SAVE_POSITION = '\x1b7';

/**
 * @param lines whole lines, each with its line end
 * @returns a promise when the reader is behind, to be waited for before more is said; it never rejects
 */
export function writeNotice(stderr: StandardStream, lines: string): Promise<void> | undefined {
  const goesOn = stderr.write(stderr.isTTY ? `${CLEAR_LINE}${lines}${SAVE_POSITION}` : lines);
  return goesOn || stderr.destroyed ? undefined : drained(stderr);
}

/** One for each output, however often it is asked for: so there is one listener. */
const draining = new WeakMap<StandardStream, Promise<void>>();

/** Resolves when there is room again, or no reader any more. */
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
