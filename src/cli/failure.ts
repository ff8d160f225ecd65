/** The text of a failure: one line that names the program, and on request the stack and the causes. */
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
  // Modules are loaded on demand. Every other opened file has an error of its own.
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  if (code === 'EMFILE' || code === 'ENFILE') {
    return `Could not load a part of the program: ${systemReason(error)} (ulimit -n sets the limit)`;
  }
  return `internal error: ${message} (--debug shows more)`;
}

/** Makes control characters visible: messages in the stack are not escaped yet. */
function visibleLines(text: string): string {
  return text
    .split('\n')
    .map((line) => quoted(line).slice(1, -1))
    .join('\n');
}

/** Always one line, without control characters: a file name must not drive the terminal. */
export function messageLine(message: string): string {
  return `qcow2c: ${quoted(message.trim().replace(/\s*\n\s*/g, ' ')).slice(1, -1)}\n`;
}
