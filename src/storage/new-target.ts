/**
 * A target that is written under a temporary name in the directory of the target. It is renamed once it is complete,
 * its length is set and it is on disk. Until then the file that had the name before stays.
 */
import { constants } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import { crypto } from '../system/late-modules.js';
import { resolvedPath } from '../system/resolved-path.js';
import type { CacheMode } from './cache-mode.js';
import { claimTemporary } from './claim-temporary.js';
import { refuseDeviceDirectory } from './device-directory.js';
import { inheritAccess } from './inherited-access.js';
import { openingError, refuseFullDisk, refuseIrreplaceable, replacementError } from './replaceability.js';
import { type HeldFile, holdExisting } from './replaced-file.js';
import type { Target } from './target.js';
import type { TemporaryFiles } from './temporary-files.js';

const NEW_FILE_MODE = 0o644;
const OWNER_ONLY = 0o600;

/** The longest file name on Linux and macOS file systems, in bytes. */
const LONGEST_NAME = 255;

/** The file that a new target replaces. */
interface Replaced {
  readonly held: HeldFile;
  /** Advice for an error: how to write to the file without replacing it. */
  readonly remedy: string;
}

/**
 * @param name does not exist
 * @throws Qcow2cError ERR_IO, ERR_IN_USE; ERR_USAGE in a directory of devices
 */
export async function createTarget(
  name: string,
  mode: CacheMode,
  temporaryFiles: TemporaryFiles,
): Promise<Target> {
  refuseNoName(name);
  const asCreation = (error: unknown) => {
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not create ${quoted(name)}`, error, { file: name });
  };
  const path = await resolvedPath(name).catch(asCreation);
  await refuseDeviceDirectory(path, name).catch(asCreation);
  return openUnderTemporaryName(path, name, mode, undefined, temporaryFiles);
}

/**
 * @param name of an existing regular file; of a symbolic link the file it points to is replaced
 * @param remedy how to write to the file without replacing it
 * @throws Qcow2cError ERR_IO, ERR_IN_USE, ERR_USAGE
 */
export async function replaceTarget(
  name: string,
  mode: CacheMode,
  remedy: string,
  temporaryFiles: TemporaryFiles,
): Promise<Target> {
  const held = await holdExisting(name).catch(async (error) => {
    throw error instanceof Qcow2cError ? error : await openingError(name, error);
  });
  try {
    const path = await resolvedPath(name);
    await refuseDeviceDirectory(path, name);
    await refuseIrreplaceable(path, name, remedy);
    return await openUnderTemporaryName(path, name, mode, { held, remedy }, temporaryFiles);
  } catch (error) {
    await held.letGo();
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not open ${quoted(name)}`, error, { file: name });
  }
}

/** @param path absolute and without symbolic links @param name as the caller gave it, for messages */
async function openUnderTemporaryName(
  path: string,
  name: string,
  mode: CacheMode,
  replaced: Replaced | undefined,
  temporaryFiles: TemporaryFiles,
): Promise<Target> {
  const failure = (what: string, error: unknown) =>
    replaced === undefined
      ? ioError(what, error, { file: name })
      : replacementError(what, error, name, replaced.remedy);
  const temporary = join(dirname(path), temporaryName(basename(path)));
  // Only the owner may open it until it has the permissions of the replaced file.
  const permissions = replaced === undefined ? NEW_FILE_MODE : OWNER_ONLY;
  const { file, refuseLoss, refuseOther, remove, release } = await claimTemporary(
    temporary,
    name,
    mode,
    permissions,
    temporaryFiles,
  ).catch((error: Qcow2cError) => {
    throw replaced === undefined || error.code !== 'ERR_IO'
      ? error
      : failure(`Could not create ${quoted(name)}`, error);
  });
  // After the release the temporary name may belong to another run.
  let isClaimed = true;
  const discard = async () => {
    if (!isClaimed) return;
    isClaimed = false;
    await file.close().catch(() => {});
    await remove();
    await release();
    await replaced?.held.letGo();
  };
  let notices: readonly string[] = [];
  try {
    if (replaced !== undefined) {
      const { held, remedy } = replaced;
      if (held.stats.blocks > 0)
        file.setFullDiskAdvice(`the old file takes its space until the new one is complete; ${remedy}`);
      await refuseFullDisk(file.fd).catch((error) => {
        throw failure(`Could not create ${quoted(name)}`, error);
      });
      notices = await inheritAccess(file.fd, held);
    }
  } catch (error) {
    await discard();
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not give ${quoted(name)} the permissions of the file that it replaces`, error, {
      file: name,
    });
  }
  let isSealed = false;
  const seal = async (length: number) => {
    if (isSealed) return;
    try {
      await file.truncate(length);
      await file.sync();
      // The system may report a failed write only now.
      await file.close();
      isSealed = true;
    } catch (error) {
      await discard();
      throw error;
    }
  };
  const commit = async (length: number) => {
    await seal(length);
    try {
      await refuseLoss();
      await fs.rename(temporary, path);
      await refuseOther(path);
    } catch (error) {
      await discard();
      if (error instanceof Qcow2cError) throw error;
      throw failure(`Could not rename the finished image to ${quoted(name)}`, error);
    }
    isClaimed = false;
    await release();
    // Freeing the space of a large file takes a while.
    const letGo = replaced?.held.letGo();
    if (mode !== 'unsafe') await syncDirectory(dirname(path));
    await letGo;
  };
  return {
    file,
    path: temporary,
    kind: 'new',
    existingSize: 0,
    notices,
    keepLength: () => {},
    seal,
    commit,
    discard,
  };
}

/**
 * Makes the temporary name of a target: it starts with a dot and ends in `.qcow2c.tmp`. It is always the same for a
 * target, so that a run finds the file of another run, or the one that a killed run left behind.
 * @param base the target's name without its directory
 */
function temporaryName(base: string): string {
  const suffix = '.qcow2c.tmp';
  const room = LONGEST_NAME - suffix.length - 1;
  const bytes = Buffer.from(base);
  if (bytes.length <= room) return `.${base}${suffix}`;
  // A shortened name still differs for each target.
  const digest = crypto().createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  const start = bytes
    .subarray(0, room - digest.length)
    .toString('latin1')
    .replace(/[^ -~]/g, '_');
  return `.${start}${digest}${suffix}`;
}

/** Refuses a path without a file name. The system would do so only when the finished image is renamed. */
function refuseNoName(path: string): void {
  if (path !== '' && !path.endsWith('/')) return;
  const reason = path === '' ? 'No such file or directory' : 'Is a directory';
  throw new Qcow2cError('ERR_IO', `Could not create ${quoted(path)}: ${reason}`, { file: path });
}

/** Makes the new name durable. */
async function syncDirectory(path: string): Promise<void> {
  try {
    const directory = await fs.open(path, constants.O_RDONLY);
    try {
      await directory.sync();
    } finally {
      await directory.close().catch(() => {});
    }
  } catch (error) {
    // Some file systems cannot sync a directory, and a directory that may be written to may not be readable.
    if (['EINVAL', 'ENOTSUP', 'EPERM', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return;
    throw ioError(`Could not sync the directory ${quoted(path)}`, error, { file: path });
  }
}
