/**
 * Reads the keys of a node of the driver nbd, as in QEMU's BlockdevOptionsNbd (qapi/block-core.json) and in the older
 * flat form (nbd_process_options in block/nbd.c).
 */
import { Qcow2cError, usageError } from '../../errors.js';
import { parseNbdName } from '../../nbd/nbd-name.js';
import { choice } from './option-values.js';

const SERVER_TYPES = { unix: 'unix', inet: 'inet' } as const;

/** Keys that other options replace. */
const INSTEAD: Readonly<Record<string, string>> = {
  'tls-creds': '--tls-creds names the directory',
  'tls-hostname': 'the host of the server is the one that its certificate must name',
  'reconnect-delay': '--nbd-retries',
  'open-timeout': '--nbd-timeout',
  'x-dirty-bitmap': '--bitmap',
};

/**
 * @param keys of the node; those that are read are removed
 * @returns the name of the export, a URI
 * @throws Qcow2cError ERR_USAGE, ERR_UNSUPPORTED
 */
export function readNbdNode(keys: Map<string, string>): string {
  const take = (key: string): string | undefined => {
    const value = keys.get(key);
    keys.delete(key);
    return value;
  };
  for (const [key, instead] of Object.entries(INSTEAD)) {
    if (keys.has(key))
      throw new Qcow2cError('ERR_UNSUPPORTED', `Option '${key}' is not supported (${instead})`);
  }
  const exportName = encodeURIComponent(take('export') ?? '');
  const [path, host, port] = ['path', 'host', 'port'].map((key) => take(`server.${key}`) ?? take(key));
  const type = take('server.type');
  const kind = type === undefined ? undefined : choice(SERVER_TYPES, type, 'server.type');
  if (path !== undefined && (host !== undefined || port !== undefined)) {
    throw usageError('path and host may not be used at the same time');
  }
  let name: string;
  if (kind === 'unix' || (kind === undefined && path !== undefined)) {
    if (path === undefined) throw usageError("Parameter 'server.path' is missing");
    name = `nbd+unix:///${exportName}?socket=${encodeURIComponent(path)}`;
  } else {
    if (path !== undefined) throw usageError("Parameter 'server.path' is unexpected");
    for (const [key, value] of Object.entries({ host, port })) {
      if (value === '') throw usageError(`Parameter 'server.${key}' is empty`);
    }
    if (host === undefined)
      throw usageError(
        kind === undefined ? 'one of path and host must be specified' : "Parameter 'server.host' is missing",
      );
    const encoded = encodeURIComponent(host);
    // Only the colons of an address are left as they are.
    const shown = host.includes(':') ? `[${encoded.replaceAll('%3A', ':')}]` : encoded;
    name = `nbd://${shown}${port === undefined ? '' : `:${port}`}/${exportName}`;
  }
  parseNbdName(name);
  return name;
}
