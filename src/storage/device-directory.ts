/**
 * Refuses to create a file in a directory of devices. A mistyped name of a volume would create a file in memory. The
 * file would look like a finished image until the machine restarts.
 */
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { quoted, usageError } from '../errors.js';
import { deviceNumber } from '../system/device-layers.js';
import { readMounts } from '../system/mounts.js';

const DEVICES = '/dev';
/** Programs keep files here on purpose (shm_overview(7)). */
const SHARED_MEMORY = '/dev/shm';

/**
 * @param path of the new file, without symbolic links in its last part
 * @param name as the caller gave it, for the message
 * @throws Qcow2cError ERR_USAGE; the system's error when the directory does not exist
 */
export async function refuseDeviceDirectory(path: string, name: string): Promise<void> {
  // A Buffer, because the directory's own name need not be UTF-8. The names compared with it are ASCII.
  const directory = (await fs.realpath(dirname(path), { encoding: 'buffer' })).toString('latin1');
  if (isWithin(SHARED_MEMORY, directory)) return;
  if (!isWithin(DEVICES, directory) && !(await isDeviceFileSystem(dirname(path)))) return;
  throw usageError(
    `Could not create ${quoted(name)}: there is no such device, and a file in a directory of devices would exist in memory ` +
      'only (check the name, and whether the volume is active)',
    { file: name },
  );
}

function isWithin(directory: string, path: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** A devtmpfs may be mounted anywhere, for example in the root of a system that is being installed. */
async function isDeviceFileSystem(directory: string): Promise<boolean> {
  const mounts = readMounts().filter(({ type }) => type === 'devtmpfs');
  if (mounts.length === 0) return false;
  const { dev } = await fs.stat(directory, { bigint: true });
  return mounts.some(({ device }) => device === deviceNumber(dev));
}
