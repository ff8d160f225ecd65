/** Why a request to an NBD server failed, before the export and the offset are added to the message. */
import { ioError, Qcow2cError, quoted } from '../errors.js';
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
  /** After the connection was re-established, the export is another one. */
  | 'changed'
  /** This side closed the connection. */
  | 'closed';

type TlsStage = 'handshake' | 'records';

export class NbdFailure extends Error {
  override readonly name = 'NbdFailure';
  readonly kind: FailureKind;
  /** The system's number and name of the reason, where there is one. */
  readonly errno: number | undefined;
  readonly code: string | undefined;
  /** Where GnuTLS failed: in the handshake, or in the records that follow it. */
  readonly tls: TlsStage | undefined;
  /** Nothing more can be read of the export: see `isFileLost`. */
  readonly isFileLost: boolean;

  constructor(
    kind: FailureKind,
    message: string,
    reason?: { errno?: number | undefined; code?: string | undefined; tls?: TlsStage | undefined },
  ) {
    super(message);
    this.kind = kind;
    this.isFileLost = kind !== 'refused';
    this.errno = reason?.errno;
    this.code = reason?.code;
    this.tls = reason?.tls;
  }
}

/** Whether the server refused one request, and the connection goes on. */
export function isRefused(error: unknown): boolean {
  return error instanceof NbdFailure && error.kind === 'refused';
}

/**
 * Whether the server refused a kind of request, rather than failed to do one of them. Servers answer EINVAL to requests
 * that they do not know, and where the protocol has no number for the reason.
 */
export function isKindRefused(error: unknown): boolean {
  return isRefused(error) && ['ENOTSUP', 'EOPNOTSUPP', 'EINVAL'].includes((error as NbdFailure).code ?? '');
}

/** Follows the name of an export whose size is not known exactly. */
export const TOO_LARGE = 'has 2 ** 53 bytes or more, more than any image can have';

/** This side closed the connection. */
export function closedHere(): NbdFailure {
  return new NbdFailure('closed', 'the connection was closed');
}

/** A later connection leads to an export of another size: the first one was lost, or both are in use. */
export function changedSize(before: number, now: number): NbdFailure {
  return new NbdFailure(
    'changed',
    `the export had ${before} bytes when it was opened, and has ${now} on a later connection`,
  );
}

/** Milliseconds to wait before a lost connection is re-established. @param attempt from 0 on */
export function retryDelay(attempt: number): number {
  return Math.min(10_000, 250 * 4 ** attempt);
}

/** Names of errors that say that a connection is gone. */
const LOST = [
  ...['ECONNRESET', 'ECONNREFUSED', 'ECONNABORTED', 'ENOENT'],
  ...['ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH', 'ENETDOWN'],
];

/** Words for the end of a connection: while libnbd waits to write, too, and with TLS, where they have no number. */
const ENDED = /^invalid state: |^external event |^gnutls_record_|in state (DEAD|CLOSED)|disconnect|closed/;

/**
 * The failure of a call to libnbd.
 * @param error of the thread, right after the call
 * @param isAlive whether the handle can still be used
 */
export function failureOf({ message, errno }: LibraryError, isAlive: boolean): NbdFailure {
  // libnbd puts the name of its function first and the system's words last.
  const words = quoted(message.replace(/^nbd_\w+: /, '')).slice(1, -1);
  const reason = errno === 0 ? undefined : systemError(errno);
  if (words.startsWith('handshake: ')) return new NbdFailure('broken', handshakeWords(words));
  // The server answers so while it stops, also to reads of good bytes; another one may take its place.
  if (reason?.code === 'ESHUTDOWN') {
    return new NbdFailure('lost', 'the server is shutting down', { code: reason.code });
  }
  const isInvalid = words.startsWith('external event ');
  if (isAlive && !isInvalid) return new NbdFailure('refused', words, reason);
  // EPIPE would stand for the pipe of a stream.
  if (['ENOTCONN', 'EPIPE'].includes(reason?.code ?? '') || ENDED.test(words)) {
    const tls = words.startsWith('gnutls_record_') ? 'records' : undefined;
    return new NbdFailure('lost', 'the server closed the connection', { code: 'ENOTCONN', tls });
  }
  if (LOST.includes(reason?.code ?? '')) return new NbdFailure('lost', words, reason);
  // The number alone says little of what a server did wrong: keep libnbd's words.
  const [, tlsReason] = /^gnutls_handshake: (.*?)\.?(?: \(-?\d+\/-?\d+\))?$/.exec(words) ?? [];
  if (tlsReason === undefined) return new NbdFailure('broken', words);
  // GnuTLS does not say which side refused what.
  const hint = 'are the files in --tls-creds those for this server?';
  return new NbdFailure('broken', `${tlsReason} (${hint})`, { tls: 'handshake' });
}

/** libnbd's words for a handshake that failed, without what only its developers need. */
function handshakeWords(words: string): string {
  const found = words.replace(/^handshake: /, '').replace(/: [A-Z][^:]*$/, '');
  if (found.startsWith('server has no export named ')) return `${found} (qcow2c info lists those it has)`;
  if (/refused TLS|^server is (oldstyle|not using fixed newstyle), but/.test(found))
    return 'the server does not offer TLS';
  if (/TLS/.test(found) && /require|initiate|policy/i.test(found))
    return `${found} (use nbds: or --tls-creds)`;
  return found;
}

/**
 * @param what the operation and the export, without the reason
 * @param cause anything that was thrown
 * @returns ERR_SOURCE_CHANGED for an export that is another one now, ERR_IO otherwise
 */
export function nbdError(
  what: string,
  cause: unknown,
  facts: { file: string; offset?: number },
): Qcow2cError {
  if (cause instanceof Qcow2cError) return cause;
  if (cause instanceof NbdFailure && cause.kind === 'changed') {
    return new Qcow2cError('ERR_SOURCE_CHANGED', `${what}: ${cause.message}`, { ...facts, cause });
  }
  return ioError(what, cause, facts);
}

/** @param offset bytes in the export */
export function readError(file: string, offset: number, cause: unknown): Qcow2cError {
  return nbdError(`Could not read ${quoted(file)} at offset ${offset}`, cause, { file, offset });
}

/** @param offset bytes in the export */
export function statusError(file: string, offset: number, cause: unknown): Qcow2cError {
  const what = `Could not read the block status of ${quoted(file)} at offset ${offset}`;
  return nbdError(what, cause, { file, offset });
}
