/**
 * Interprets file names as QEMU does: the prefix "file:" is removed; names with a protocol are refused, because qcow2c
 * supports no protocols. Used by the readers of options.
 */
import { Qcow2cError, quoted, usageError } from '../../errors.js';
import { isProtocol, type Protocol, protocolOf, readsAsProtocol } from '../../image/protocol.js';
import { isNbdName, parseNbdName } from '../../nbd/nbd-name.js';

const DOWNLOAD = "download it first, or pipe a raw disk: 'curl -L URL | qcow2c convert - OUT'";
const MAKE_FILE = "convert it to a file first: 'qemu-img convert -O raw URI FILE'";
const NAME_DEVICE = 'give only the name of the device';

/** Hints for sources named by a protocol of QEMU. */
const INSTEAD: Readonly<Record<Protocol, string>> = {
  http: DOWNLOAD,
  https: DOWNLOAD,
  ftp: DOWNLOAD,
  ftps: DOWNLOAD,
  nbd: MAKE_FILE,
  'nbd+tcp': MAKE_FILE,
  'nbd+unix': MAKE_FILE,
  nbds: MAKE_FILE,
  'nbds+tcp': MAKE_FILE,
  'nbds+unix': MAKE_FILE,
  ssh: MAKE_FILE,
  rbd: MAKE_FILE,
  iscsi: MAKE_FILE,
  iser: MAKE_FILE,
  nfs: MAKE_FILE,
  gluster: MAKE_FILE,
  'gluster+tcp': MAKE_FILE,
  'gluster+unix': MAKE_FILE,
  'gluster+rdma': MAKE_FILE,
  blkdebug: MAKE_FILE,
  blkverify: MAKE_FILE,
  fat: MAKE_FILE,
  'null-aio': MAKE_FILE,
  'null-co': MAKE_FILE,
  nvme: MAKE_FILE,
  host_device: NAME_DEVICE,
  host_cdrom: NAME_DEVICE,
  json: "use --image-opts: 'driver=FORMAT,file.filename=FILE'",
};

interface Role {
  /** The start of the message, before the problem. */
  readonly opening?: string;
  /** The hint; undefined: the hint of the protocol. */
  readonly instead?: string;
}

/** The name without "file:". After that prefix every name is a file's. */
function plainName(name: string, { opening = '', instead }: Role): string {
  const protocol = protocolOf(name);
  if (protocol !== undefined) {
    const known = isProtocol(protocol);
    const problem = known ? `Protocol '${protocol}' is not supported` : `Unknown protocol '${protocol}'`;
    const hints = known ? [instead ?? INSTEAD[protocol]] : [];
    // A complete URI is hardly ever a file's name.
    if (!known || !name.includes('://')) hints.push(`a file of that name is ${quoted(`./${name}`)}`);
    throw new Qcow2cError(
      known ? 'ERR_UNSUPPORTED' : 'ERR_USAGE',
      `${opening}${problem} (${hints.join('; ')})`,
      { file: name },
    );
  }
  const plain = name.startsWith('file:') ? name.slice('file:'.length) : name;
  if (plain === '')
    throw usageError(`${opening}The 'file' block driver requires a file name`, { file: name });
  // Without the prefix it would be the name of an export.
  return isNbdName(plain) ? `./${plain}` : plain;
}

/**
 * @param name as typed
 * @returns the name for the file system
 * @throws Qcow2cError ERR_UNSUPPORTED or ERR_USAGE for one with a protocol, ERR_USAGE for an empty one
 */
export function sourceFile(name: string): string {
  if (isNbdName(name)) {
    parseNbdName(name);
    return name;
  }
  return plainName(name, { opening: `Could not open ${quoted(name)}: ` });
}

/** As `sourceFile`, for a file to be written. */
export function targetFile(name: string): string {
  if (isNbdName(name)) {
    parseNbdName(name);
    return name;
  }
  return plainName(name, { instead: 'write to a file and copy it there' });
}

/**
 * As `sourceFile`, for a name to be stored in an image.
 * @returns a name that means the same file when the image is opened
 */
export function storedFile(name: string): string {
  if (isNbdName(name)) {
    const message = `${quoted(name)} is an NBD export, and a new image can name a file or a device only`;
    throw new Qcow2cError('ERR_UNSUPPORTED', message, { file: name });
  }
  const plain = plainName(name, { instead: 'name a file or a device' });
  // Without "file:" the rest could look like a protocol.
  return readsAsProtocol(plain) ? `./${plain}` : plain;
}
