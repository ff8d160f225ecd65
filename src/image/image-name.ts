/** What QEMU would take a file name for: some name a protocol or hold options, which are not files here. */
import { dirname, isAbsolute, join } from 'node:path';
import { Qcow2cError, quoted } from '../errors.js';

/**
 * A name that an image holds, as a path: relative ones start at the image's own directory, `file:` in front
 * is left out (path_combine, bdrv_get_full_backing_filename in QEMU).
 * @param name the backing or data file's name as it stands in the image
 * @param image the image's own path
 * @param role what the name is of, for the message: "backing file"
 * @throws Qcow2cError ERR_UNSUPPORTED for a name that is no file's
 */
export function resolveStoredName(name: string, image: string, role: string): string {
  const path = name.startsWith('file:') ? name.slice('file:'.length) : name;
  // A protocol's name ends at a colon before any slash (path_has_protocol in QEMU).
  const protocol = /^([^/:]*):/.exec(path)?.[1];
  if (protocol !== undefined) {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `${quoted(image)} has the ${role} ${quoted(name)}, and qcow2c reads files only, not '${quoted(protocol).slice(1, -1)}:'; ` +
        `name another ${role} with --image-opts, or convert the image with qemu-img first`,
      { file: image, found: name },
    );
  }
  return isAbsolute(path) ? path : join(dirname(image), path);
}
