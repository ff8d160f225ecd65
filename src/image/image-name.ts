/** The names of other files that an image holds: what QEMU would take for a protocol is no file here. */
import { dirname, isAbsolute, join } from 'node:path';
import { Qcow2cError, quoted } from '../errors.js';

/**
 * A backing file's name as a path: a relative one starts at the directory of the image that holds it
 * (bdrv_get_full_backing_filename in QEMU).
 * @param name as it stands in the image
 * @param image the image's own path
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that is no file's
 */
export function backingFilePath(name: string, image: string): string {
  const path = filePath(name, image, 'backing file');
  return isAbsolute(path) ? path : join(dirname(image), path);
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

/** The name without `file:`. A protocol's name ends at a colon before any slash (path_has_protocol in QEMU). */
function filePath(name: string, image: string, role: string): string {
  const path = name.startsWith('file:') ? name.slice('file:'.length) : name;
  if (!/^[^/:]*:/.test(path)) return path;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(image)} has the ${role} ${quoted(name)}: qcow2c takes what stands before the colon for a protocol, ` +
      `and reads files only; name another ${role} with --image-opts, or convert the image with qemu-img first`,
    { file: image, found: name },
  );
}
