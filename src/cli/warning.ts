/** Warnings on standard error: a line that names the program, and is no part of a line of progress. */
import { messageLine } from './failure.js';
import type { Output } from './progress-display.js';

/** Takes away a half-drawn line of progress. */
const CLEAR_LINE = '\r\x1b[K';

/** @param message one sentence */
export function warn(stderr: Output, message: string): void {
  stderr.write(`${stderr.isTTY ? CLEAR_LINE : ''}${messageLine(`warning: ${message}`)}`);
}
