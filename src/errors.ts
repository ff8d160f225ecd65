/**
 * The errors of the library. Every failure that leaves a public function is a Qcow2cError: a stable
 * `code`, one sentence for people, and the facts (file, offset, expected, found) for programs.
 */
import { getSystemErrorMap } from 'node:util';

/** All codes; docs/errors.md describes each. */
export const ERROR_CODES = [
  'ERR_USAGE',
  'ERR_UNSUPPORTED',
  'ERR_FORMAT',
  'ERR_CORRUPT',
  'ERR_IO',
  'ERR_IN_USE',
  'ERR_SOURCE_CHANGED',
  'ERR_LIMIT',
  'ERR_ENGINE',
  'ERR_WORKER',
  'ERR_ABORTED',
  'ERR_INTERNAL',
] as const;

/**
 * Stable codes, one for each reaction a caller may want:
 *
 * - `ERR_USAGE`: the request is wrong;
 * - `ERR_UNSUPPORTED`: the request is valid, but qcow2c does not support it;
 * - `ERR_FORMAT`: the file does not have the given format;
 * - `ERR_CORRUPT`: the image is damaged;
 * - `ERR_IO`: the system refused an operation; `systemCode` names the reason;
 * - `ERR_IN_USE`: another process writes to the file, or reads a file that would be written to;
 * - `ERR_SOURCE_CHANGED`: a source changed during the run;
 * - `ERR_LIMIT`: the format cannot hold the result;
 * - `ERR_ENGINE`: no compression engine works, or the chosen one failed;
 * - `ERR_WORKER`: a worker thread threw or died;
 * - `ERR_ABORTED`: the caller's signal ended the call; the error's `name` is `AbortError`;
 * - `ERR_INTERNAL`: a defect in qcow2c.
 */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** The properties of a Qcow2cError besides its code and message. */
export type ErrorFacts = FileFacts & {
  /** A byte of the virtual disk. */
  readonly guestOffset?: number | undefined;
  readonly expected?: string | number | undefined;
  readonly found?: string | number | undefined;
  /** The system's name of the reason, such as ENOSPC. */
  readonly systemCode?: string | undefined;
  readonly cause?: unknown;
};

/** An offset always lies in a file, so it never comes without one. */
type FileFacts =
  | { readonly file?: string | undefined; readonly offset?: undefined }
  | { readonly file: string; readonly offset?: number | undefined };

/** The error of every function of the library. `cause` is the underlying error, if there is one. */
export class Qcow2cError extends Error {
  /** `AbortError` when the caller's signal ended the call, as with the functions of Node.js. */
  override readonly name: 'Qcow2cError' | 'AbortError';
  readonly code: ErrorCode;
  /** The file concerned. The library gives absolute names. */
  readonly file: string | undefined;
  /** A position in `file`, in bytes. */
  readonly offset: number | undefined;
  /**
   * A position on the virtual disk, in bytes: on that of the image `file`, or without a file on the disk that was
   * being read.
   */
  readonly guestOffset: number | undefined;
  /** The value that was required, and the one that was there. */
  readonly expected: string | number | undefined;
  readonly found: string | number | undefined;
  /** The system's name of the reason, such as ENOSPC. */
  readonly systemCode: string | undefined;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = code === 'ERR_ABORTED' ? 'AbortError' : 'Qcow2cError';
    this.code = code;
    this.file = facts.file;
    this.offset = facts.offset;
    this.guestOffset = facts.guestOffset;
    this.expected = facts.expected;
    this.found = facts.found;
    this.systemCode = facts.systemCode;
  }
}

/** In a URI what follows the colon after `//`, up to the last `@`, and the same after `nbd:`. A port is none. */
const PASSWORD_OF_USER =
  /(:\/\/(?!\[)[^:/?#@]*|\bnbd:(?!unix:|\[)[^:@/]*):(?!\d{1,5}(?:[/?#]|:exportname=|$)).*@/gs;
/** The value of an option in image options, in `json:` or in the query of a URI. */
const PASSWORD_OPTION = /((?:^|[,?&.'])password=|"password"\s*:\s*)(?:"[^"]*"|[^,&}'"]+)/gi;

/** Conceals what may be a password. */
export function withoutPassword(text: string): string {
  return text.replace(PASSWORD_OF_USER, '$1:***@').replace(PASSWORD_OPTION, '$1***');
}

/**
 * Quotes a file name for a message. A password in it is concealed. Control characters and characters that change the
 * direction of writing become `\\xNN`, so that no name can drive a terminal or look like another name.
 */
export function quoted(name: string): string {
  const visible = withoutPassword(name).replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the expression looks for control characters
    /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `'${visible}'`;
}

/** The C library's words for reasons that Node.js describes poorly or not at all. */
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

/** Their numbers on Linux. Node.js does not know the names of numbers that it does not know. */
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
  // Errors that no system call reported have codes of Node.js, such as ERR_STREAM_PREMATURE_CLOSE.
  return known ?? (code?.startsWith('ERR_') ? undefined : code);
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
 * @param what the operation and its file, without the reason: "Could not write 'x' at offset 512"
 */
export function ioError(what: string, cause: unknown, facts: ErrorFacts = {}): Qcow2cError {
  const systemCode = systemCodeOf(cause);
  return new Qcow2cError('ERR_IO', `${what}: ${systemReason(cause)}`, { ...facts, systemCode, cause });
}

/** The same error in other words: all facts stay, and `cause` is the error itself. */
export function reworded(error: Qcow2cError, message: string): Qcow2cError {
  const { code, message: _, ...facts } = error;
  return new Qcow2cError(code, message, { ...(facts as ErrorFacts), cause: error });
}

/** The same error with the guest offset that it concerns, in bytes. */
export function atGuestOffset(error: Qcow2cError, guestOffset: number): Qcow2cError {
  const { code, message, ...facts } = error;
  return new Qcow2cError(code, message, { ...(facts as ErrorFacts), guestOffset, cause: error.cause });
}

/** Whether nothing more can be read of the file; otherwise a failed read concerns its range alone. */
export function isFileLost(error: Qcow2cError): boolean {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if ((cause as { readonly isFileLost?: boolean }).isFileLost === true) return true;
  }
  return false;
}

/** The request itself is wrong: a bad value of an option, or options that exclude each other. */
export function usageError(message: string, facts: ErrorFacts = {}): Qcow2cError {
  return new Qcow2cError('ERR_USAGE', message, facts);
}

/**
 * The caller's signal ended the call.
 * @param reason the signal's reason; undefined where only a closed file was noticed: `endPromptly` adds it
 */
export function abortedError(reason: unknown): Qcow2cError {
  return new Qcow2cError('ERR_ABORTED', 'The operation was aborted', { cause: reason });
}

/** One part of the program broke a rule of another: always a defect in qcow2c, never the user's fault. */
export function internalError(message: string, facts: ErrorFacts = {}): Qcow2cError {
  return new Qcow2cError('ERR_INTERNAL', `internal error: ${message}`, facts);
}
