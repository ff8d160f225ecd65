/**
 * The errors of the library. Every failure that leaves a public function is a Qcow2cError: a stable
 * `code`, one sentence for people, and the facts (file, offset, expected, found) for programs.
 */
import { getSystemErrorMap } from 'node:util';

/**
 * Stable codes, one for each reaction a caller may want:
 * usage: the request is wrong; unsupported: valid, but not something this program does;
 * format: the file is not of the format asked for; corrupt: it is, but broken;
 * io: the system refused an operation; in-use: somebody else writes to the file, or reads what would be written;
 * source-changed: the source is not what it was at the start;
 * limit: the format cannot hold the result; engine: no usable compression engine, or one that failed;
 * worker: a worker thread died; aborted: the caller's signal; internal: a broken promise inside qcow2c.
 */
export type ErrorCode =
  | 'ERR_USAGE'
  | 'ERR_UNSUPPORTED'
  | 'ERR_FORMAT'
  | 'ERR_CORRUPT'
  | 'ERR_IO'
  | 'ERR_IN_USE'
  | 'ERR_SOURCE_CHANGED'
  | 'ERR_LIMIT'
  | 'ERR_ENGINE'
  | 'ERR_WORKER'
  | 'ERR_ABORTED'
  | 'ERR_INTERNAL';

/** What a program may want to know about a failure besides its sentence. */
export interface ErrorFacts {
  /** The file concerned, as it was named; the library names files from the root of the file system. */
  readonly file?: string | undefined;
  /** Where, in bytes: in the file for I/O, in the guest's address space for a worker's failure. */
  readonly offset?: number | undefined;
  readonly expected?: string | number | undefined;
  readonly found?: string | number | undefined;
  /** The system's name of the reason, such as ENOSPC. */
  readonly systemCode?: string | undefined;
  readonly cause?: unknown;
}

export class Qcow2cError extends Error {
  override readonly name = 'Qcow2cError';
  readonly code: ErrorCode;
  readonly file: string | undefined;
  readonly offset: number | undefined;
  readonly expected: string | number | undefined;
  readonly found: string | number | undefined;
  readonly systemCode: string | undefined;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = code;
    this.file = facts.file;
    this.offset = facts.offset;
    this.expected = facts.expected;
    this.found = facts.found;
    this.systemCode = facts.systemCode;
  }
}

/**
 * A file name for a message: quoted, control characters and those that change the direction of writing made visible, so
 * that no name can drive a terminal or be read as another.
 */
export function quoted(name: string): string {
  const visible = name.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `'${visible}'`;
}

/** Reasons that Node.js has no words, or poor ones, for; the words are the C library's. */
const REASONS: Readonly<Record<string, string>> = {
  EIO: 'Input/output error',
  EISDIR: 'Is a directory',
  EDQUOT: 'Disk quota exceeded',
  ESTALE: 'Stale file handle',
  EUCLEAN: 'Structure needs cleaning',
  ENOMEDIUM: 'No medium found',
  ENODATA: 'No data available',
  EREMOTEIO: 'Remote I/O error',
  ENOTSUP: 'Operation not supported',
};

/** Their numbers on Linux: where Node.js does not know a number, it does not know its name either. */
const LINUX_NUMBERS: Readonly<Record<number, string>> = {
  61: 'ENODATA',
  116: 'ESTALE',
  117: 'EUCLEAN',
  121: 'EREMOTEIO',
  122: 'EDQUOT',
  123: 'ENOMEDIUM',
};

/** The system's name of the reason of a failed operation, such as ENOSPC. */
function systemCodeOf(error: unknown): string | undefined {
  const { errno, code } = (error ?? {}) as NodeJS.ErrnoException;
  const known = process.platform === 'linux' ? LINUX_NUMBERS[-(errno ?? 0)] : undefined;
  return known ?? code;
}

/** The system's words for a failed operation ("No space left on device"), or the error's own message. */
export function systemReason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { errno } = error as NodeJS.ErrnoException;
  const reason = REASONS[systemCodeOf(error) ?? ''];
  if (reason !== undefined) return reason;
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno);
  if (known === undefined) return error.message;
  return known[1].charAt(0).toUpperCase() + known[1].slice(1);
}

/**
 * The error of a failed system call.
 * @param what what was tried and on which file, without the reason: "Could not write 'x' at offset 512"
 */
export function ioError(what: string, cause: unknown, facts: ErrorFacts = {}): Qcow2cError {
  const systemCode = systemCodeOf(cause);
  return new Qcow2cError('ERR_IO', `${what}: ${systemReason(cause)}`, { ...facts, systemCode, cause });
}

/** The request itself is wrong: a bad option value, a combination that cannot be. */
export function usageError(message: string, facts: ErrorFacts = {}): Qcow2cError {
  return new Qcow2cError('ERR_USAGE', message, facts);
}

/** The caller's signal came. @param reason what the signal says of itself */
export function abortedError(reason: unknown): Qcow2cError {
  return new Qcow2cError('ERR_ABORTED', 'The work was ended before it was complete', { cause: reason });
}

/** A promise between parts of the program was broken: always a defect in qcow2c, never the user's fault. */
export function internalError(message: string, facts: ErrorFacts = {}): Qcow2cError {
  return new Qcow2cError('ERR_INTERNAL', `internal error: ${message}`, facts);
}
