/** What libnbd's words for an error mean for the connection. */
import { constants } from 'node:os';
import { expect, test } from 'vitest';
import { failureOf, readError } from '../../src/nbd/nbd-failure.js';

const { EHOSTUNREACH, EINVAL, EIO, EPIPE } = constants.errno;
/** On Linux; Node.js has no constant for it. */
const ESHUTDOWN = 108;

test.each<[string, number, boolean, string, string]>([
  ['pread: command failed: Input/output error', EIO, true, 'refused', 'EIO'],
  // --salvage would take these for ranges that cannot be read.
  ['pread: command failed: Cannot send after shutdown', ESHUTDOWN, true, 'lost', 'ESHUTDOWN'],
  [
    'poll: external event 1 is invalid in state OPT_GO.SEND: Invalid argument',
    EINVAL,
    true,
    'lost',
    'ENOTCONN',
  ],
  // The exit code would be that of a pipe without a reader.
  ['aio_notify_write: send: Broken pipe', EPIPE, false, 'lost', 'ENOTCONN'],
  [
    'aio_notify_read: gnutls_record_recv: The TLS connection was non-properly terminated.',
    0,
    false,
    'lost',
    'ENOTCONN',
  ],
  ['aio_notify_write: gnutls_record_send: Error in the push function.', 0, false, 'lost', 'ENOTCONN'],
  ['aio_notify_read: recv: No route to host', EHOSTUNREACH, false, 'lost', 'EHOSTUNREACH'],
])('%s', (words, errno, isAlive, kind, code) => {
  expect(failureOf({ message: `nbd_${words}`, errno }, isAlive)).toMatchObject({ kind, code });
});

test('a server that is shutting down is not described in words about sockets', () => {
  const error = { message: 'nbd_pread: command failed: Cannot send after shutdown', errno: ESHUTDOWN };
  const { message } = readError('nbd://host/', 512, failureOf(error, true));
  expect(message).toBe("Could not read 'nbd://host/' at offset 512: the server is shutting down");
});

test.each(['oldstyle', 'not using fixed newstyle'])('a server that is %s does not offer TLS', (is) => {
  const message = `nbd_aio_notify_read: handshake: server is ${is}, but handle TLS setting is 'require' (2)`;
  expect(failureOf({ message, errno: 0 }, false).message).toBe('the server does not offer TLS');
});

test('a TLS handshake that fails names the option', () => {
  const message =
    'nbd_aio_notify_read: gnutls_handshake: The TLS connection was non-properly terminated. (-1/1)';
  expect(failureOf({ message, errno: 0 }, false)).toMatchObject({
    kind: 'broken',
    message:
      'The TLS connection was non-properly terminated (are the files in --tls-creds those for this server?)',
  });
});
