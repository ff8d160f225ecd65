/**
 * Refuses to make a file among the devices: a mistyped name of a volume would become a file in memory, which looks like
 * a finished image until the next start of the machine.
 */
import * as fs from 'node:fs/promises';
import { dirname } from 'node:path';
import { quoted, usageError } from '../errors.js';
import { deviceNumber } from '../system/device-layers.js';
import { readMounts } from '../system/mounts.js';

const DEVICES = '/dev';
/** Files are kept here on purpose (shm_overview(7)). */
const SHARED_MEMORY = '/dev/shm';

/**
 * @param path where a file is to be made, without symbolic links in its last part
 * @param name as the caller gave it, for the message
 * @throws Qcow2cError ERR_USAGE; the system's error when the directory is not there
 */
export async function refuseDeviceDirectory(path: string, name: string): Promise<void> {
  // Bytes, because the directory's own name need not be UTF-8. Those of a name that is looked for here are.
  const directory = (await fs.realpath(dirname(path), { encoding: 'buffer' })).toString('latin1');
  if (isWithin(SHARED_MEMORY, directory)) return;
  if (!isWithin(DEVICES, directory) && !(await isDeviceFileSystem(dirname(path)))) return;
  throw usageError(
    `Could not create ${quoted(name)}: there is no such device, and a file among the devices would be kept in memory ` +
      'only (check the name, and whether the volume is active)',
    { file: name },
  );
}

function isWithin(directory: string, path: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}

/** A devtmpfs may be mounted anywhere, as in the root of a system that is being installed. */
async function isDeviceFileSystem(directory: string): Promise<boolean> {
  const mounts = readMounts().filter(({ type }) => type === 'devtmpfs');
  if (mounts.length === 0) return false;
  const { dev } = await fs.stat(directory, { bigint: true });
  return mounts.some(({ device }) => device === deviceNumber(dev));
}
