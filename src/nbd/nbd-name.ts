/**
 * Reads the names of NBD exports: the URIs of the NBD project (doc/uri.md) and QEMU's older names `nbd:unix:PATH` and
 * `nbd:HOST:PORT`. Opens nothing. A name that an image stores is never read here unless the caller allows it.
 */
import { realpathSync } from 'node:fs';
import { resolve } from 'node:path';
import { quoted, usageError, withoutPassword } from '../errors.js';

/** Where an export is. Plain data, which also passes to worker threads. */
export interface NbdAddress {
  /** The name for messages; it holds no secret. */
  readonly name: string;
  /** The name of the export; empty: the server's default export. */
  readonly exportName: string;
  readonly server: UnixServer | InetServer;
  /** Whether the connection must be encrypted. */
  readonly tls: boolean;
  /** The user of a pre-shared key. */
  readonly user: string | undefined;
}

interface UnixServer {
  readonly kind: 'unix';
  /** Of the socket. */
  readonly path: string;
}

interface InetServer {
  readonly kind: 'inet';
  readonly host: string;
  /** A number, or the name of a service. */
  readonly port: string;
}

/** The same for every name of an export, as far as names and the paths of sockets tell. */
export function exportIdentity({ server, exportName }: NbdAddress): string {
  return `nbd ${JSON.stringify([...placeOf(server), exportName])}`;
}

/** Whether two names lead to one server, as far as they tell. */
export function isSameServer(one: NbdAddress, other: NbdAddress): boolean {
  return JSON.stringify(placeOf(one.server)) === JSON.stringify(placeOf(other.server));
}

function placeOf(server: UnixServer | InetServer): string[] {
  return server.kind === 'unix' ? [socketPath(server.path)] : [hostIdentity(server.host), server.port];
}

/** Without links, where there is a socket. */
function socketPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}

/** This machine has three usual names. */
function hostIdentity(host: string): string {
  const name = host.toLowerCase();
  return ['127.0.0.1', '::1'].includes(name) ? 'localhost' : name;
}

/** The port that IANA assigned to NBD. */
const NBD_PORT = '10809';

const URI =
  /^nbd(s?)(?:\+(unix|tcp))?:\/\/(?:([^@/?#]*)@)?(\[[^\]/?#]*\]|[^:/?#[\]]*)(?::([^/?#]*))?(\/[^?#]*)?(?:\?([^#]*))?$/;

/** Whether a name is that of an NBD export. A file of such a name is named `./nbd:…`. */
export function isNbdName(name: string): boolean {
  return /^nbds?(\+(unix|tcp))?:/.test(name);
}

/**
 * @param name as given by the caller
 * @throws Qcow2cError ERR_USAGE for a name that is not well formed, holds a password or names local files of TLS
 */
export function parseNbdName(name: string): NbdAddress {
  return name.includes('://') ? parseUri(name) : parseOldName(name);
}

const NO_PASSWORD = 'a password is not supported (keys are files in --tls-creds)';

function parseUri(uri: string): NbdAddress {
  const refuse = (why: string) => usageError(`${quoted(uri)} is not the URI of an NBD export: ${why}`);
  if (withoutPassword(uri) !== uri) throw refuse(NO_PASSWORD);
  const [matched, s, transport, userInfo, host = '', port, path = '', query = ''] = URI.exec(uri) ?? [];
  if (matched === undefined)
    throw refuse('expected nbd://HOST[:PORT]/EXPORT or nbd+unix:///EXPORT?socket=PATH');
  const decode = (text: string) => {
    try {
      return decodeURIComponent(text);
    } catch {
      throw refuse(`${quoted(text)} is not percent-encoded UTF-8`);
    }
  };
  if (userInfo?.includes(':')) throw refuse(NO_PASSWORD);
  const parameters = new Map<string, string>();
  for (const pair of query.split(/[&;]/)) {
    if (pair === '') continue;
    const [key = '', ...value] = pair.split('=');
    parameters.set(decode(key), decode(value.join('=')));
  }
  const socket = parameters.get('socket');
  parameters.delete('socket');
  const [stray] = parameters.keys();
  if (stray?.startsWith('tls-')) throw refuse(`${quoted(stray)} is not taken from a URI; use --tls-creds`);
  if (stray !== undefined) throw refuse(`there is no parameter ${quoted(stray)}`);
  const exportName = decode(path.replace(/^\//, ''));
  const common = { name: uri, exportName, tls: s === 's', user: userInfo && decode(userInfo) };
  if (transport === 'unix') {
    if (host !== '' || port !== undefined)
      throw refuse('a Unix socket has no host (nbd+unix:///EXPORT?socket=PATH)');
    if (!socket) throw refuse('it names no socket (nbd+unix:///EXPORT?socket=PATH)');
    return checked({ ...common, server: { kind: 'unix', path: socket } }, refuse);
  }
  if (socket !== undefined) throw refuse("'socket' belongs to nbd+unix: or nbds+unix:");
  const server: InetServer = {
    kind: 'inet',
    host: decode(host.replace(/^\[(.*)\]$/, '$1')) || 'localhost',
    port: port || NBD_PORT,
  };
  return checked({ ...common, server }, refuse);
}

/** `nbd:unix:PATH[:exportname=NAME]` and `nbd:HOST:PORT[:exportname=NAME]` (nbd_parse_filename in QEMU). */
function parseOldName(name: string): NbdAddress {
  const refuse = (why: string) => usageError(`${quoted(name)} is not the name of an NBD export: ${why}`);
  if (withoutPassword(name) !== name) throw refuse(NO_PASSWORD);
  const [, where = '', exportName = ''] = /^nbd:(.*?)(?::exportname=(.*))?$/s.exec(name) ?? [];
  const common = { name, exportName, tls: false, user: undefined };
  if (where.startsWith('unix:')) {
    return checked({ ...common, server: { kind: 'unix', path: where.slice('unix:'.length) } }, refuse);
  }
  const [, inBrackets, plain = '', port = ''] = /^(?:\[([^\]]*)\]|([^:]*)):([^:]*)$/.exec(where) ?? [];
  const host = inBrackets ?? plain;
  if (host === '') throw refuse('expected nbd:unix:PATH or nbd:HOST:PORT, and :exportname=NAME after it');
  return checked({ ...common, server: { kind: 'inet', host, port } }, refuse);
}

/** The longest name of an export (NBD's "string" limit), and the longest path of a Unix socket on Linux. */
const MOST_NAME_BYTES = 4096;
const MOST_PATH_BYTES = 107;

function checked(address: NbdAddress, refuse: (why: string) => Error): NbdAddress {
  const { exportName, server } = address;
  const texts = [exportName, ...Object.values(server), address.user ?? ''];
  if (texts.some((text) => text.includes('\0'))) throw refuse('it has a NUL byte');
  if (Buffer.byteLength(exportName) > MOST_NAME_BYTES) {
    throw refuse(`the name of the export is longer than ${MOST_NAME_BYTES} bytes`);
  }
  if (server.kind === 'unix') {
    if (server.path === '') throw refuse('it names no socket');
    if (Buffer.byteLength(server.path) > MOST_PATH_BYTES) {
      throw refuse(`the path of the socket is longer than ${MOST_PATH_BYTES} bytes`);
    }
  } else if (!/^[0-9]+$/.test(server.port) || Number(server.port) < 1 || Number(server.port) > 65535) {
    throw refuse(`the port ${quoted(server.port)} is not a number from 1 to 65535`);
  }
  return address;
}
