/** Why a request to an NBD server failed, before the export and the offset are added to the message. */
import { ioError, type Qcow2cError, quoted } from '../errors.js';
import { systemError } from '../system/libc.js';
import type { LibraryError } from './libnbd.js';

/** What a failure means for the connection. */
export type FailureKind =
  /** The server refused one request; the connection goes on. */
  | 'refused'
  /** The connection is gone; another one may work. */
  | 'lost'
  /** The server sends nothing. */
  | 'silent'
  /** The server sent what no server may send, or refused the connection. */
  | 'broken'
  /** This side closed the connection. */
  | 'closed';

export class NbdFailure extends Error {
  override readonly name = 'NbdFailure';
  readonly kind: FailureKind;
  /** The system's number and name of the reason, where there is one. */
  readonly errno: number | undefined;
  readonly code: string | undefined;

  constructor(
    kind: FailureKind,
    message: string,
    reason?: { errno?: number | undefined; code?: string | undefined },
  ) {
    super(message);
    this.kind = kind;
    this.errno = reason?.errno;
    this.code = reason?.code;
  }
}

/** The reason of a server that sends nothing. */
export function silence(milliseconds: number): NbdFailure {
  const message = `the server has sent nothing for ${milliseconds / 1000} seconds (--nbd-timeout)`;
  return new NbdFailure('silent', message, { code: 'ETIMEDOUT' });
}

/** Numbers of errors on Linux and macOS that say that a connection is gone. */
const LOST = ['ENOTCONN', 'ECONNRESET', 'EPIPE', 'ESHUTDOWN', 'ECONNREFUSED', 'ECONNABORTED', 'ENOENT'];

/**
 * The failure of a call to libnbd.
 * @param error of the thread, right after the call
 * @param isAlive whether the handle can still be used
 */
export function failureOf({ message, errno }: LibraryError, isAlive: boolean): NbdFailure {
  // libnbd puts the name of its function first and the system's words last.
  const words = message.replace(/^nbd_\w+: /, '');
  const reason = errno === 0 ? undefined : systemError(errno);
  if (isAlive) return new NbdFailure('refused', words, reason);
  if (reason?.code === 'ENOTCONN' || (reason === undefined && /disconnect|closed/.test(words))) {
    return new NbdFailure('lost', 'the server closed the connection', { code: 'ENOTCONN' });
  }
  if (LOST.includes(reason?.code ?? '')) return new NbdFailure('lost', words, reason);
  // The number alone says little of what a server did wrong: keep libnbd's words.
  return new NbdFailure('broken', words, { code: reason?.code });
}

/**
 * @param what the operation and the export, without the reason
 * @param cause anything that was thrown
 */
export function nbdError(
  what: string,
  cause: unknown,
  facts: { file: string; offset?: number },
): Qcow2cError {
  return ioError(what, cause, facts);
}

/** @param offset bytes in the export */
export function readError(file: string, offset: number, cause: unknown): Qcow2cError {
  return nbdError(`Could not read ${quoted(file)} at offset ${offset}`, cause, { file, offset });
}
