/**
 * Where a conversion's output goes. A regular file is made under a temporary name in the same directory
 * and gets its own name only when it is complete, checked in length and durable; until then whatever had
 * that name stays. A device, or an existing file on request, is written in place.
 */
import { createHash } from 'node:crypto';
import { constants, fstatSync, type Stats } from 'node:fs';
import * as fs from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import { deviceSize } from '../system/device-size.js';
import { lockImage } from '../system/image-lock.js';
import { resolvedPath } from '../system/resolved-path.js';
import type { CacheMode } from './cache-mode.js';
import { claimTemporary } from './claim-temporary.js';
import { refuseDeviceDirectory } from './device-directory.js';
import { DirectFile } from './direct-file.js';
import { inheritAccess } from './inherited-access.js';
import { openingError, refuseFullDisk, refuseIrreplaceable, replacementError } from './replaceability.js';
import { type HeldFile, holdExisting } from './replaced-file.js';
import type { SparseStorage } from './storage.js';
import { TemporaryFiles } from './temporary-files.js';

const NEW_FILE_MODE = 0o644;
const OWNER_ONLY = 0o600;

/** The unit of `st_blocks`. */
const STAT_BLOCK_BYTES = 512;

/** Longest file name of Linux and macOS file systems, in bytes. */
const LONGEST_NAME = 255;

/** What is written to, as those who write see it. */
export type TargetFile = SparseStorage &
  Pick<
    DirectFile,
    'cacheMode' | 'directRefused' | 'writeCalls' | 'writtenBytes' | 'limitRate' | 'allocate' | 'close'
  >;

export interface Target {
  readonly file: TargetFile;
  /** The name under which its bytes are found until it is committed. */
  readonly path: string;
  /** `new`: made under a temporary name; `existing`: an existing file, written in place; `device`: likewise. */
  readonly kind: 'new' | 'existing' | 'device';
  /** Bytes of the file or device when it was opened; 0 for a new file. */
  readonly existingSize: number;
  /** Bytes on the disk that an existing file took when it was opened; undefined for others. */
  readonly allocatedBytes?: number | undefined;
  /** What a new file could not take over from the one that it replaces: sentences whose subject is the target. */
  readonly notices: readonly string[];
  /**
   * The first half of commit, and all of it that can fail for want of space: sets the length (bytes; not a
   * device's), makes everything durable, and closes a new file. When it fails the target is closed, and a new file
   * removed. A second call does nothing.
   */
  seal(length: number): Promise<void>;
  /**
   * Ends the output: seals it and gives it its name. The target is closed afterwards, also when this fails.
   */
  commit(length: number): Promise<void>;
  /** From now on `discard` leaves an existing file as long as it is, because its new header may be there. */
  keepLength(): void;
  /**
   * Closes and removes what was made; whatever had the name before is untouched, and an existing file gets its
   * old length back unless it was sealed or keeps its length. Does nothing after a commit. Never throws.
   */
  discard(): Promise<void>;
}

/** A target and the length it is to get, in bytes. */
export interface TargetWithLength {
  readonly target: Target;
  readonly length: number;
}

/**
 * Commits outputs that belong together, in this order: a data file before the image that refers to it. All
 * are complete and durable before the first gets its name. So an image never has its name without its data
 * file, and when this fails all names are as they were, unless it was the system that could not rename a
 * later one, or not make an earlier name durable (or stopped in between): then an earlier output has its name
 * already, and keeps it.
 * @throws Qcow2cError ERR_IO; every target is closed, and what has no name yet is removed
 */
export async function commitInOrder(outputs: readonly TargetWithLength[]): Promise<void> {
  try {
    for (const { target, length } of outputs) await target.seal(length);
    for (const { target, length } of outputs) await target.commit(length);
  } catch (error) {
    await Promise.all(outputs.map(({ target }) => target.discard()));
    throw error;
  }
}

/** What to do when a file can be written to, but not replaced. */
const WRITE_IN_PLACE = 'with -n it is written in place';

/**
 * @param path the name the output shall get
 * @param inPlace write into the existing file instead of replacing it (a device always is)
 * @param remedy what to do instead when an existing file cannot be replaced, for the message
 * @param temporaryFiles of the run, which has no other way to remove them while a call on them does not return
 * @throws Qcow2cError ERR_IO, ERR_UNSUPPORTED; ERR_USAGE for a new file among the devices
 */
export async function openTarget(
  path: string,
  mode: CacheMode,
  inPlace: boolean,
  remedy = WRITE_IN_PLACE,
  temporaryFiles = new TemporaryFiles(),
): Promise<Target> {
  const existing = await statIfThere(path);
  if (existing === undefined) {
    if (inPlace) {
      const missing = Object.assign(new Error('no such file or directory'), { errno: -2, code: 'ENOENT' });
      throw ioError(`Could not open ${quoted(path)}`, missing, { file: path });
    }
    refuseNoName(path);
    const place = await resolvedPath(path).catch((error) => {
      if (error instanceof Qcow2cError) throw error;
      throw ioError(`Could not create ${quoted(path)}`, error, { file: path });
    });
    return openNew(place, path, mode, temporaryFiles);
  }
  if (existing.isDirectory()) {
    throw new Qcow2cError('ERR_IO', `Could not open ${quoted(path)}: Is a directory`, { file: path });
  }
  if (existing.isBlockDevice() || (existing.isFile() && inPlace)) return openInPlace(path, mode, existing);
  if (!existing.isFile()) {
    const reason = 'it is neither a regular file nor a block device';
    throw new Qcow2cError('ERR_UNSUPPORTED', `Cannot write to ${quoted(path)}: ${reason}`, { file: path });
  }
  const held = await holdExisting(path).catch(async (error) => {
    throw error instanceof Qcow2cError ? error : await openingError(path, error);
  });
  try {
    // A symbolic link stays; what it points to is replaced.
    const place = await resolvedPath(path);
    await refuseDeviceDirectory(place, path);
    await refuseIrreplaceable(place, path, remedy);
    return await openReplacement(place, path, mode, held, remedy, temporaryFiles);
  } catch (error) {
    await held.letGo();
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not open ${quoted(path)}`, error, { file: path });
  }
}

async function openNew(
  place: string,
  name: string,
  mode: CacheMode,
  temporaryFiles: TemporaryFiles,
): Promise<Target> {
  await refuseDeviceDirectory(place, name).catch((error) => {
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not create ${quoted(name)}`, error, { file: name });
  });
  return openReplacement(place, name, mode, undefined, '', temporaryFiles);
}

async function openReplacement(
  path: string,
  name: string,
  mode: CacheMode,
  existing: HeldFile | undefined,
  remedy: string,
  temporaryFiles: TemporaryFiles,
): Promise<Target> {
  const temporary = join(dirname(path), temporaryName(basename(path)));
  // Nobody may read the new image who could not read the old one, nor open it before it is known who that is.
  const permissions = existing === undefined ? NEW_FILE_MODE : OWNER_ONLY;
  const { file, refuseLoss, refuseOther, remove, release } = await claimTemporary(
    temporary,
    name,
    mode,
    permissions,
    temporaryFiles,
  ).catch((error: Qcow2cError) => {
    throw existing === undefined || error.code !== 'ERR_IO'
      ? error
      : replacementError(`Could not create ${quoted(name)}`, error, name, remedy);
  });
  // Once the name is given up it may be another run's.
  let claimed = true;
  const discard = async () => {
    if (!claimed) return;
    claimed = false;
    await file.close().catch(() => {});
    await remove();
    await release();
    await existing?.letGo();
  };
  let notices: readonly string[] = [];
  try {
    if (existing !== undefined) {
      if (existing.stats.blocks > 0)
        file.setFullDiskAdvice(`the old file keeps its space until then; ${remedy}`);
      await refuseFullDisk(file.fd).catch((error) => {
        throw replacementError(`Could not create ${quoted(name)}`, error, name, remedy);
      });
      notices = await inheritAccess(file.fd, existing);
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
      // What was written may also be refused now.
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
      const what = `Could not name the finished image ${quoted(name)}`;
      throw existing === undefined
        ? ioError(what, error, { file: name })
        : replacementError(what, error, name, remedy);
    }
    claimed = false;
    await release();
    await existing?.letGo();
    if (mode !== 'unsafe') await syncDirectory(dirname(path));
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

async function openInPlace(path: string, mode: CacheMode, existing: Stats): Promise<Target> {
  const file = await DirectFile.open(path, path, mode).catch(async (error: Qcow2cError) => {
    throw await openingError(path, error.cause ?? error);
  });
  await lockImage(file.fd, path, 'write').catch(async (error) => {
    await file.close();
    throw error;
  });
  const isFile = existing.isFile();
  // Only under the lock does the file stay as it is found.
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
    // The new header may be there already: cutting the file from now on would destroy both images.
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
  const kind = isFile ? 'existing' : 'device';
  return { file, path, kind, existingSize, allocatedBytes, notices: [], keepLength, seal, commit, discard };
}

/** Bytes of a file or device, and those that a file takes on the disk. @throws Qcow2cError ERR_IO; it is then closed */
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

/**
 * Recognisable by the leading dot, the program's name and the ending. Always the same for a target: who finds it
 * there has found another run, or what is left of one.
 */
function temporaryName(base: string): string {
  const suffix = '.qcow2c.tmp';
  const room = LONGEST_NAME - suffix.length - 1;
  const bytes = Buffer.from(base);
  if (bytes.length <= room) return `.${base}${suffix}`;
  // Cut, and still another one for each target.
  const digest = createHash('sha256').update(bytes).digest('hex').slice(0, 16);
  const start = bytes
    .subarray(0, room - digest.length)
    .toString('latin1')
    .replace(/[^ -~]/g, '_');
  return `.${start}${digest}${suffix}`;
}

/** Refuses a path that names no file: the system would do so only when the finished image gets its name. */
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
    // Some file systems cannot sync a directory, and say so, and one that may be written need not be
    // readable; there the rename is as durable as it gets.
    if (['EINVAL', 'ENOTSUP', 'EPERM', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? ''))
      return;
    throw ioError(`Could not sync the directory ${quoted(path)}`, error, { file: path });
  }
}

async function statIfThere(path: string): Promise<Stats | undefined> {
  try {
    return await fs.stat(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw ioError(`Could not open ${quoted(path)}`, error, { file: path });
  }
}
