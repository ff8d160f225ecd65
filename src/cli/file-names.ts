/**
 * The names of files as QEMU takes them: "file:" before a name is dropped, another "word:" before the first
 * slash is a protocol, and no protocol is spoken here. Used by the readers of options. The rules are those of
 * path_has_protocol and bdrv_find_protocol in QEMU's block.c.
 */
import { Qcow2cError, quoted, usageError } from '../errors.js';

/** What to do instead of naming a source by a protocol that QEMU speaks. */
const INSTEAD: Readonly<Record<string, string>> = {
  ...alike(
    ['http', 'https', 'ftp', 'ftps'],
    "download it first, or pipe a raw disk: 'curl -L URL | qcow2c convert - OUT'",
  ),
  ...alike(
    ['nbd', 'nbd+tcp', 'nbd+unix', 'nbds', 'nbds+tcp', 'nbds+unix'],
    "copy it to a file first: 'nbdcopy URI FILE' or 'qemu-img convert -O raw URI FILE'",
  ),
  ...alike(
    [
      ...['ssh', 'rbd', 'iscsi', 'iser', 'nfs', 'gluster', 'gluster+tcp', 'gluster+unix', 'gluster+rdma'],
      ...['blkdebug', 'blkverify', 'fat', 'null-aio', 'null-co', 'nvme'],
    ],
    "make it a file first: 'qemu-img convert -O raw URI FILE'",
  ),
  ...alike(['host_device', 'host_cdrom'], "give the device's name alone"),
  json: "use --image-opts: 'driver=FORMAT,file.filename=FILE'",
};

function alike(protocols: readonly string[], instead: string): Record<string, string> {
  return Object.fromEntries(protocols.map((protocol) => [protocol, instead]));
}

/** What stands before a colon that comes before any slash. */
function protocolOf(name: string): string | undefined {
  return /^([^:/]*):/.exec(name)?.[1];
}

interface Role {
  /** Goes before what is wrong with the name. */
  readonly opening?: string;
  /** What to do instead of naming a protocol; undefined: what the protocol's own entry says. */
  readonly instead?: string;
}

/** The name without "file:", which no other protocol may take the place of. */
function plainName(name: string, { opening = '', instead }: Role): string {
  const protocol = protocolOf(name);
  if (protocol !== undefined && protocol !== 'file') {
    const known = Object.hasOwn(INSTEAD, protocol);
    const problem = known ? `Protocol '${protocol}' is not supported` : `Unknown protocol '${protocol}'`;
    const hints = known ? [instead ?? INSTEAD[protocol]] : [];
    // Nobody calls a file by a whole URI.
    if (!known || !name.includes('://')) hints.push(`a file of that name is ${quoted(`./${name}`)}`);
    throw new Qcow2cError(
      known ? 'ERR_UNSUPPORTED' : 'ERR_USAGE',
      `${opening}${problem} (${hints.join('; ')})`,
      { file: name },
    );
  }
  const plain = protocol === undefined ? name : name.slice('file:'.length);
  if (plain === '')
    throw usageError(`${opening}The 'file' block driver requires a file name`, { file: name });
  return plain;
}

/**
 * @param name as it was typed
 * @returns the name for the file system
 * @throws Qcow2cError ERR_UNSUPPORTED or ERR_USAGE for one with a protocol, ERR_USAGE for an empty one
 */
export function sourceFile(name: string): string {
  return plainName(name, { opening: `Could not open ${quoted(name)}: ` });
}

/** As `sourceFile`, for what is to be written. */
export function targetFile(name: string): string {
  if (name === '-') {
    throw usageError(
      "Standard output cannot be the target: an image is not written from start to end (a file of that name is './-')",
    );
  }
  return plainName(name, { instead: 'write to a file, and copy that to where it belongs' });
}

/**
 * As `sourceFile`, for a name that an image is to hold.
 * @returns a name that means the same file to whoever opens the image
 */
export function storedFile(name: string): string {
  const plain = plainName(name, { instead: 'name a file or a device' });
  // Without its "file:" the rest could read as a protocol.
  return protocolOf(plain) === undefined ? plain : `./${plain}`;
}
