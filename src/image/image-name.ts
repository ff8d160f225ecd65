/** Resolves the names of other files that an image stores. Names that are protocols are refused. */
import { isAbsolute } from 'node:path';
import { Qcow2cError, quoted } from '../errors.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { protocolOf, storableName } from './protocol.js';

/** QEMU's prefix that marks the rest of a name as that of a file. */
const FILE_PROTOCOL = 'file:';

/**
 * Resolves a backing file's name. A relative name starts at the directory of the image that stores it, as the image is
 * named; after `file:` it starts at the working directory (bdrv_get_full_backing_filename in QEMU).
 * @param name as stored in the image
 * @param image the image's own path
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that is a protocol, and for a relative name in an NBD export
 */
export function backingFilePath(name: string, image: string): string {
  const path = filePath(name, image, 'backing file');
  if (isAbsolute(path) || path !== name) return path;
  if (isNbdName(image)) {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `${quoted(image)} has the backing file ${quoted(name)}, and an NBD export is in no directory: the name must be ` +
        'absolute, or be given with --image-opts (backing.file.filename=FILE)',
      { file: image, found: name },
    );
  }
  // QEMU puts `./` before an image name that contains a colon.
  const known = storableName(image);
  // The path is joined but not normalised: after a symbolic link, `..` is not the directory before the slash.
  return known.slice(0, known.lastIndexOf('/') + 1) + path;
}

/**
 * Resolves an external data file's name. A relative name starts at the working directory: QEMU opens it like a name on
 * the command line (qcow2_do_open).
 * @param name as stored in the image
 * @param image the image's own path
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that is a protocol
 */
export function dataFilePath(name: string, image: string): string {
  return filePath(name, image, 'data file');
}

/** Removes `file:`. @param role of the file, for the message */
function filePath(name: string, image: string, role: string): string {
  if (name.startsWith(FILE_PROTOCOL)) {
    const path = name.slice(FILE_PROTOCOL.length);
    // After the prefix every name is a file's, even one that looks like an export's.
    return isNbdName(path) ? `./${path}` : path;
  }
  if (protocolOf(name) === undefined) return name;
  if (isNbdName(name)) {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `${quoted(image)} has the ${role} ${quoted(name)}: qcow2c connects to an NBD export only if ` +
        '--image-opts names it, or with --allow-nbd-backing',
      { file: image, found: name },
    );
  }
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(image)} has the ${role} ${quoted(name)}: qcow2c takes the part before the colon for a protocol ` +
      `and reads files only; name another ${role} with --image-opts, or convert the image with qemu-img first`,
    { file: image, found: name },
  );
}
