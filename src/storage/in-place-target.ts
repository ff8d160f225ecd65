/** A target that is written in place: a block device, or an existing file on request. It is locked while it is open. */
import { fstatSync } from 'node:fs';
import { ioError, type Qcow2cError, quoted } from '../errors.js';
import { deviceSize } from '../system/device-size.js';
import { lockImage } from '../system/image-lock.js';
import type { CacheMode } from './cache-mode.js';
import { DirectFile } from './direct-file.js';
import { openingError } from './replaceability.js';
import type { Target } from './target.js';

/** The unit of `st_blocks`. */
const STAT_BLOCK_BYTES = 512;

/**
 * @param path of a regular file for `existing`, of a block device for `device`
 * @throws Qcow2cError ERR_IO, ERR_IN_USE
 */
export async function openInPlaceTarget(
  path: string,
  mode: CacheMode,
  kind: 'existing' | 'device',
): Promise<Target> {
  const file = await DirectFile.open(path, path, mode).catch(async (error: Qcow2cError) => {
    throw await openingError(path, error.cause ?? error);
  });
  await lockImage(file.fd, path, 'write').catch(async (error) => {
    await file.close();
    throw error;
  });
  const isFile = kind === 'existing';
  // Read under the lock: before, another writer could still change the size.
  const { size: existingSize, allocatedBytes } = await sizesOf(file, isFile);
  if (!isFile) file.setCapacity(existingSize);
  let isSealed = false;
  let keepsLength = false;
  const keepLength = () => {
    keepsLength = true;
  };
  const discard = async () => {
    if (isFile && !isSealed && !keepsLength) await file.truncate(existingSize).catch(() => {});
    await file.close().catch(() => {});
  };
  const seal = async (length: number) => {
    if (isSealed) return;
    // The new header may be on the disk already: truncating the file from here on would destroy both images.
    isSealed = true;
    try {
      if (isFile) await file.truncate(length);
      await file.sync();
    } catch (error) {
      await file.close().catch(() => {});
      throw error;
    }
  };
  const commit = async (length: number) => {
    await seal(length);
    await file.close();
  };
  return { file, path, kind, existingSize, allocatedBytes, notices: [], keepLength, seal, commit, discard };
}

/** The size of a file or device, and the bytes that a file takes on the disk. On error the file is closed. */
async function sizesOf(
  file: DirectFile,
  isFile: boolean,
): Promise<{ readonly size: number; readonly allocatedBytes: number | undefined }> {
  try {
    if (!isFile) return { size: await deviceSize(file.fd), allocatedBytes: undefined };
    const { size, blocks } = fstatSync(file.fd);
    return { size, allocatedBytes: blocks * STAT_BLOCK_BYTES };
  } catch (error) {
    await file.close().catch(() => {});
    throw ioError(`Could not find out the size of ${quoted(file.name)}`, error, { file: file.name });
  }
}
