/** What the error of a connection that was not made adds to the reason. */
import { expect, test } from 'vitest';
import { failureOf } from '../../src/nbd/nbd-failure.js';
import { parseNbdName } from '../../src/nbd/nbd-name.js';
import { withOpeningHint } from '../../src/nbd/opening-hint.js';

function hinted(words: string, uri: string, isGreeted: boolean): unknown {
  const tlsCreds = { kind: 'certificates', directory: '/pki', hasOwn: false } as const;
  const failure = failureOf({ message: `nbd_aio_notify_write: ${words}`, errno: 0 }, false);
  const attempt = { isGreeted, mayBeTaken: false };
  return withOpeningHint(failure, parseNbdName(uri), { tlsCreds, timeoutMs: 1, retries: 0 }, attempt);
}

test.each([
  ['gnutls_record_send: Error in the push function.', false, true],
  ['gnutls_record_recv: Error in the pull function.', true, true],
  // A server that serves one client may close the connection before its greeting.
  ['invalid state: CLOSED', false, false],
])('after %s the client certificate is named, greeted or not', (words, isGreeted, isNamed) => {
  const expected = isNamed ? expect.stringContaining('client-key.pem') : 'the server closed the connection';
  expect(hinted(words, 'nbds://host/', isGreeted)).toMatchObject({ message: expected });
});

test.each([
  ['nbds://[::1]/', true],
  ['nbds://127.0.0.1/', false],
  ['nbds+unix:///?socket=/s', false],
])('a TLS handshake that fails with %s asks for a host name: %s', (uri, asks) => {
  const failure = hinted('gnutls_handshake: The TLS connection was non-properly terminated.', uri, true);
  expect(String(failure).includes('use the name of the host')).toBe(asks);
});
