/** Lines on standard error that come while progress is shown there: warnings, and answers to SIGUSR1. */
import { messageLine } from './failure.js';
import type { Output } from './progress-display.js';

/** Takes away a half-drawn line of progress. */
const CLEAR_LINE = '\r\x1b[K';
/** At its end the bar goes back to the position saved last: that must be below what was said meanwhile. */
const SAVE_POSITION = '\x1b7';

/** @param lines whole lines, each with its line end */
export function sayAside(stderr: Output, lines: string): void {
  stderr.write(stderr.isTTY ? `${CLEAR_LINE}${lines}${SAVE_POSITION}` : lines);
}

/** @param message one sentence */
export function warn(stderr: Output, message: string): void {
  sayAside(stderr, messageLine(`warning: ${message}`));
}
