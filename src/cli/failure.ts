/** What is printed when something fails: one line that names the program, and the whole story on request. */
import { inspect } from 'node:util';
import { Qcow2cError, quoted, systemReason } from '../errors.js';

/**
 * @param debug add the stack and the causes
 * @returns the text for standard error, ending in a newline
 */
export function failureText(error: unknown, debug: boolean): string {
  const line = messageLine(sentenceOf(error));
  return debug ? `${line}${visibleLines(inspect(error))}\n` : line;
}

function sentenceOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof Qcow2cError) return message;
  // Parts of the program are loaded when they are needed. Every other open file has an error of its own.
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === 'EMFILE' || code === 'ENFILE') {
    return `Could not load a part of the program: ${systemReason(error)} (ulimit -n sets the limit)`;
  }
  return `internal error: ${message} (--debug shows more)`;
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
