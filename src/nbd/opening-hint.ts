/** Adds to the failure of a new connection what the user may do about it. */
import { isIP } from 'node:net';
import type { NbdSettings } from './connection-options.js';
import { NbdFailure } from './nbd-failure.js';
import type { NbdAddress } from './nbd-name.js';

/** A server accepts more clients than it serves: the others wait for its greeting. */
const BUSY = '; another client may be using it: qemu-nbd serves one at a time, and N with -e N';
const TAKEN =
  ' while this process has another connection to it: it seems to serve one client at a time; qemu-nbd serves N with -e N';
/** With TLS 1.3 a server refuses a client without a certificate only after the handshake. */
const UNKNOWN = '; it may ask for a client certificate: client-cert.pem and client-key.pem in --tls-creds';
/** libnbd sends the host of the URI in the handshake, where GnuTLS takes no colon. */
const ADDRESSED = '; a server may refuse an IPv6 address in the TLS handshake: use the name of the host';

/** How far the attempt came. */
interface Attempt {
  /** Whether the socket had bytes from the server to read. */
  readonly isGreeted: boolean;
  /** See `mayBeTaken` in turned-away.ts. */
  readonly mayBeTaken: boolean;
}

/** @returns why a connection was not made, with a likely reason if there is one */
export function withOpeningHint(
  error: unknown,
  { server }: NbdAddress,
  { tlsCreds }: NbdSettings,
  { isGreeted, mayBeTaken }: Attempt,
): unknown {
  if (!(error instanceof NbdFailure)) return error;
  const { kind, message, code, tls } = error;
  const hinted = (words: string) => new NbdFailure(kind, words, error);
  if (mayBeTaken && kind === 'silent' && !isGreeted) return hinted(`the server does not answer${TAKEN}`);
  if (mayBeTaken && code === 'ENOTCONN') return hinted(`${message}${TAKEN}`);
  if (kind === 'silent' && !isGreeted) return hinted(`${message}${BUSY}`);
  if (tls === 'handshake' && server.kind === 'inet' && isIP(server.host) === 6) {
    return hinted(`${message}${ADDRESSED}`);
  }
  const isUnknown = code === 'ENOTCONN' && tlsCreds?.kind === 'certificates' && !tlsCreds.hasOwn;
  // One call of libnbd may do the whole handshake and then find the connection closed.
  return isUnknown && (isGreeted || tls === 'records') ? hinted(`${message}${UNKNOWN}`) : error;
}
