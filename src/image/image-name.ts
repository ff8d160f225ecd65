/** The names of other files that an image holds, which must not be protocols. */
import { isAbsolute } from 'node:path';
import { Qcow2cError, quoted } from '../errors.js';
import { protocolOf, storableName } from './protocol.js';

/** Before a name QEMU takes it for "a file, whatever the name looks like", and leaves it out. */
const FILE_PROTOCOL = 'file:';

/**
 * A backing file's name as a path: a relative one starts at the directory of the image that holds it, as that was
 * named; behind `file:` it starts at the working directory (bdrv_get_full_backing_filename in QEMU).
 * @param name as it stands in the image
 * @param image the image's own path
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that is no file's
 */
export function backingFilePath(name: string, image: string): string {
  const path = filePath(name, image, 'backing file');
  if (isAbsolute(path) || path !== name) return path;
  // As QEMU knows the image, with `./` before a name that has a colon in it.
  const known = storableName(image);
  // Joined and not tidied up: behind a symbolic link, `..` is not the directory before the slash.
  return known.slice(0, known.lastIndexOf('/') + 1) + path;
}

/**
 * An external data file's name as a path: a relative one starts at the working directory, in QEMU too, which
 * opens it like a name that was typed (qcow2_do_open).
 * @param name as it stands in the image
 * @param image the image's own path
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that is no file's
 */
export function dataFilePath(name: string, image: string): string {
  return filePath(name, image, 'data file');
}

/** The name without `file:`. */
function filePath(name: string, image: string, role: string): string {
  if (name.startsWith(FILE_PROTOCOL)) return name.slice(FILE_PROTOCOL.length);
  if (protocolOf(name) === undefined) return name;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(image)} has the ${role} ${quoted(name)}: qcow2c takes what stands before the colon for a protocol, ` +
      `and reads files only; name another ${role} with --image-opts, or convert the image with qemu-img first`,
    { file: image, found: name },
  );
}
