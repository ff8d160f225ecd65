/** The names of NBD exports: URIs, and QEMU's older names. */
import { describe, expect, test } from 'vitest';
import { exportIdentity, isNbdName, parseNbdName } from '../../src/nbd/nbd-name.js';

const unix = (path: string, exportName = '', more = {}) => ({
  exportName,
  server: { kind: 'unix', path },
  tls: false,
  user: undefined,
  ...more,
});
const inet = (host: string, port: string, exportName = '', more = {}) => ({
  exportName,
  server: { kind: 'inet', host, port },
  tls: false,
  user: undefined,
  ...more,
});

describe('the name', () => {
  test.each<[string, object]>([
    ['nbd://host/vda', inet('host', '10809', 'vda')],
    ['nbd+tcp://host:1/vda', inet('host', '1', 'vda')],
    ['nbd://host', inet('host', '10809')],
    ['nbd:///vda', inet('localhost', '10809', 'vda')],
    ['nbd://[::1]:1/a%20b/c', inet('::1', '1', 'a b/c')],
    ['nbds://alice@host/vda', inet('host', '10809', 'vda', { tls: true, user: 'alice' })],
    ['nbd+unix:///vda?socket=/run/x.sock', unix('/run/x.sock', 'vda')],
    ['nbd+unix://?socket=s', unix('s')],
    ['nbds+unix:////x?socket=a%3Fb', unix('a?b', '/x', { tls: true })],
    ['nbd:unix:/run/x.sock', unix('/run/x.sock')],
    ['nbd:unix:/run/x.sock:exportname=a:b', unix('/run/x.sock', 'a:b')],
    ['nbd:host:1', inet('host', '1')],
    ['nbd:unix:/run/user@1:0/x', unix('/run/user@1:0/x')],
    ['nbd:host:1:exportname=a@b', inet('host', '1', 'a@b')],
    ['nbd://host:1/a@b', inet('host', '1', 'a@b')],
    ['nbd://host/a:b@c', inet('host', '10809', 'a:b@c')],
    ['nbd://[::1]/a@b', inet('::1', '10809', 'a@b')],
    ['nbd+unix:///a:b@c?socket=/run/user@1/x', unix('/run/user@1/x', 'a:b@c')],
    ['nbd:[::1]:1:exportname=vda', inet('::1', '1', 'vda')],
  ])('%s is understood', (name, address) => {
    expect(isNbdName(name)).toBe(true);
    expect(parseNbdName(name)).toEqual({ name, ...address });
  });

  test.each([
    'nbd://user:Pa55/w@rd@host/x',
    'nbds://user:Pa?55@host/x',
    'nbds://user:Pa#55@host/x',
    'nbds://:Pa55@host/x',
    'nbds://user:55:Pa@host/x',
    'nbds+unix://user:Pa55@/x?socket=s',
    'nbd:user:Pa55@host:10809',
    'nbd:user:Pa/55@host:10809:exportname=x',
  ])('%s is refused, and its password concealed', (name) => {
    const message = expect.stringMatching(/^'nbd[^']*:\*\*\*@[^']*' is not .*: a password is not supported/);
    expect(() => parseNbdName(name)).toThrow(expect.objectContaining({ message }));
    expect(() => parseNbdName(name)).not.toThrow(/Pa|55/);
  });

  test.each([
    ['nbd+unix:///x?socket=/tmp/../s', 'nbd:unix:/s:exportname=x', true],
    ['nbd+unix:///x?socket=s', `nbd+unix:///x?socket=${process.cwd()}/s`, true],
    ['nbd://localhost/x', 'nbd:127.0.0.1:10809:exportname=x', true],
    ['nbd://Host/x', 'nbd://host/x', true],
    ['nbd+unix:///x?socket=s', 'nbd+unix:///y?socket=s', false],
    ['nbd://host:1/x', 'nbd://host:2/x', false],
  ])('%s and %s: the same export is %s', (one, other, isSame) => {
    const [first, second] = [one, other].map((name) => exportIdentity(parseNbdName(name)));
    expect(first === second).toBe(isSame);
  });

  test.each([
    ['nbd:x', 'expected nbd:unix:PATH or nbd:HOST:PORT'],
    ['nbd:', 'expected nbd:unix:PATH or nbd:HOST:PORT'],
    ['nbd:unix:', 'it names no socket'],
    ['nbd:host:0', "the port '0' is not a number from 1 to 65535"],
    ['nbd:host:65536', "the port '65536'"],
    ['nbd+unix:///vda', 'it names no socket'],
    ['nbd+unix://host/vda?socket=s', 'a Unix socket has no host'],
    ['nbd://host/vda?socket=s', "'socket' belongs to nbd+unix:"],
    ['nbd://host/vda?x=1', "there is no parameter 'x'"],
    ['nbd://host/%ff', 'is not percent-encoded UTF-8'],
    ['nbd://host/%00', 'it has a NUL byte'],
    [`nbd+unix:///?socket=${'s'.repeat(108)}`, 'the path of the socket is longer than 107 bytes'],
    [`nbd://host/${'x'.repeat(4097)}`, 'the name of the export is longer than 4096 bytes'],
    ['nbd://a b@[/', 'expected nbd://HOST[:PORT]/EXPORT'],
  ])('%s is refused: %s', (name, words) => {
    expect(() => parseNbdName(name)).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringContaining(words) }),
    );
  });

  test.each(['/nbd://x', './nbd:x:1', 'nbdx:y', 'disk.nbd', 'NBD://x', 'nbd'])('%s is a file', (name) => {
    expect(isNbdName(name)).toBe(false);
  });
});
