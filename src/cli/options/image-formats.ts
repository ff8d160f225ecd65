/**
 * Reads the names of image formats in -f, -O, -F and driver=: raw and qcow2. For QEMU's other formats the error says
 * what to do instead. Used by the readers of options.
 */
import { Qcow2cError, reworded, usageError } from '../../errors.js';
import { IMAGE_FORMATS, type ImageFormat, isImageFormat } from '../../image/image-reference.js';
import { notAccepted } from './option-values.js';
import { withHint } from './suggestion.js';

/** Other formats of disk images that QEMU reads; it writes most of them too. */
const OTHER_FORMATS: readonly string[] = [
  ...['bochs', 'cloop', 'dmg', 'luks', 'parallels', 'qcow', 'qed', 'vdi', 'vhdx', 'vmdk', 'vpc', 'vvfat'],
];

/** Drivers that QEMU accepts in place of a format; they define how a file is accessed. */
const OTHER_DRIVERS: readonly string[] = [
  ...['blkdebug', 'blklogwrites', 'blkverify', 'compress', 'copy-before-write', 'copy-on-read', 'file'],
  ...['ftp', 'ftps', 'gluster', 'host_cdrom', 'host_device', 'http', 'https', 'iscsi', 'iser', 'nbd', 'nfs'],
  ...['null-aio', 'null-co', 'nvme', 'preallocate', 'quorum', 'rbd', 'replication', 'snapshot-access'],
  ...['ssh', 'throttle'],
];

const NO_DRIVER = 'the format of a file or a device is raw or qcow2';
const KNOWN = `known: ${IMAGE_FORMATS.join(', ')}`;

function unsupported(message: string): Qcow2cError {
  return new Qcow2cError('ERR_UNSUPPORTED', message);
}

/**
 * @param name the value of -f or of driver=
 * @param opening the start of the message, before the problem
 * @throws Qcow2cError ERR_UNSUPPORTED for a format of QEMU, ERR_USAGE for an unknown one
 */
export function sourceFormatOf(name: string, opening = ''): ImageFormat {
  if (isImageFormat(name)) return name;
  if (OTHER_FORMATS.includes(name)) {
    const instead = `convert it to qcow2 first: 'qemu-img convert -f ${name} -O qcow2'`;
    throw unsupported(`${opening}Format '${name}' is not supported (${instead})`);
  }
  if (OTHER_DRIVERS.includes(name)) {
    throw unsupported(`${opening}Driver '${name}' is not supported (${NO_DRIVER})`);
  }
  throw usageError(`${opening}Unknown driver '${name}' (${KNOWN})`);
}

/**
 * @param name the value of -O @throws Qcow2cError ERR_UNSUPPORTED for a format of QEMU, ERR_USAGE for an unknown one
 */
export function targetFormatOf(name: string): ImageFormat {
  if (isImageFormat(name)) return name;
  if (OTHER_FORMATS.includes(name)) {
    const instead = `create a qcow2 image and convert it: 'qemu-img convert -f qcow2 -O ${name}'`;
    throw unsupported(`File format '${name}' is not supported (${instead})`);
  }
  if (OTHER_DRIVERS.includes(name)) throw unsupported(`Driver '${name}' is not supported (${NO_DRIVER})`);
  throw usageError(`Unknown file format '${name}' (${KNOWN})`);
}

/**
 * @param name the value of -F or of backing_fmt @throws Qcow2cError ERR_UNSUPPORTED for a format of QEMU, ERR_USAGE for
 *   an unknown one
 */
export function backingFormatOf(name: string): ImageFormat {
  if (isImageFormat(name)) return name;
  if (OTHER_FORMATS.includes(name)) {
    throw unsupported(`Backing file format '${name}' is not supported (it must be raw or qcow2)`);
  }
  throw notAccepted('backing_fmt', name, IMAGE_FORMATS);
}

/**
 * Reads options that depend on the target's format. Without a stated format, users often do not notice that the target
 * is raw.
 * @param why the target is raw although its format was not stated, and what to do; undefined: it was stated
 * @throws Qcow2cError as `read`, with the reason if the option exists only for qcow2
 */
export function withReason<Result>(why: string | undefined, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    if (why === undefined || !(error instanceof Qcow2cError)) throw error;
    if (error.found !== 'raw' || error.expected !== 'qcow2') throw error;
    throw reworded(error, withHint(error.message, `the target is raw: ${why}`));
  }
}
