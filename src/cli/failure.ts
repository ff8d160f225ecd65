/** What is printed when something fails: one line that names the program, and the whole story on request. */
import { inspect } from 'node:util';
import { Qcow2cError, quoted } from '../errors.js';

/**
 * @param debug add the stack and the causes
 * @returns the text for standard error, ending in a newline
 */
export function failureText(error: unknown, debug: boolean): string {
  const message = error instanceof Error ? error.message : String(error);
  const expected = error instanceof Qcow2cError;
  const line = messageLine(expected ? message : `internal error: ${message} (--debug shows more)`);
  return debug ? `${line}${visibleLines(inspect(error))}\n` : line;
}

/** The story has messages as they were made. */
function visibleLines(text: string): string {
  return text
    .split('\n')
    .map((line) => quoted(line).slice(1, -1))
    .join('\n');
}

/** One line whatever the message holds: text from outside must not drive the terminal or look like two lines. */
export function messageLine(message: string): string {
  return `qcow2c: ${quoted(message.trim().replace(/\s*\n\s*/g, ' ')).slice(1, -1)}\n`;
}
