/**
 * Creates the temporary file of a target; each target has at most one. The run that creates the file keeps it locked
 * until it is renamed or removed. So a locked file belongs to a run in progress; an unlocked one was left by a killed
 * run, and is removed.
 */
import { constants, fstatSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { abortedError, ioError, Qcow2cError, quoted } from '../errors.js';
import { fileIdentity } from '../system/file-identity.js';
import { lockByte } from '../system/libc.js';
import type { CacheMode } from './cache-mode.js';
import { DirectFile } from './direct-file.js';
import type { TemporaryFiles } from './temporary-files.js';

/** Not one of the bytes that QEMU locks. */
const OWNER_BYTE = 300;
/** Attempts before the error says that other runs keep taking the name. */
const MOST_ATTEMPTS = 16;
/** Errors of a lock that another process holds. Any other error means that locks are not supported here. */
const HELD = ['EAGAIN', 'EACCES'];

interface ClaimedFile {
  readonly file: DirectFile;
  /**
   * Verifies that the temporary name still belongs to this file.
   * @throws Qcow2cError ERR_IO when another process has removed, moved or replaced the file, ERR_ABORTED when the run
   *   was abandoned; the system's error
   */
  refuseLoss(): Promise<void>;
  /**
   * Verifies once more after the rename: no system call renames a file only if it is still the same one. If a program
   * moves the finished file away before this check, that is not an error.
   * @throws Qcow2cError ERR_IO when another file got the name; the system's error
   */
  refuseOther(path: string): Promise<void>;
  /** Removes the file, unless another file has its name by now. Never throws. */
  remove(): Promise<void>;
  /** Releases the claim. Call it once the file has its own name or is removed. Never throws. */
  release(): Promise<void>;
}

/**
 * @param path of the temporary file
 * @param name of the target, for messages
 * @param permissions of the file, before the umask
 * @param temporaryFiles of the run: lists the file until it is released
 * @throws Qcow2cError ERR_IN_USE when another run writes the same target; ERR_IO; no file is left behind then
 */
export async function claimTemporary(
  path: string,
  name: string,
  mode: CacheMode,
  permissions: number,
  temporaryFiles: TemporaryFiles,
): Promise<ClaimedFile> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
    if (temporaryFiles.isAbandoned) throw abortedError(undefined);
    let file: DirectFile;
    try {
      file = await DirectFile.open(path, name, mode, constants.O_CREAT | constants.O_EXCL, permissions);
    } catch (error) {
      if (!(error instanceof Qcow2cError) || error.systemCode !== 'EEXIST') throw error;
      await removeLeftover(path, name);
      continue;
    }
    const claimed = await claim(file, path, name, temporaryFiles).catch(async (error) => {
      await removeUnclaimed(file, path);
      if (error instanceof Qcow2cError) throw error;
      throw ioError(`Could not create ${quoted(name)}`, error, { file: name });
    });
    if (claimed !== undefined) return claimed;
    await file.close();
  }
  throw inUse(name, undefined);
}

/**
 * Creates and locks the file. Before it is locked, another run may take it for a leftover and replace it; the new file
 * then belongs to that run.
 * @returns undefined when that has happened
 */
async function claim(
  file: DirectFile,
  path: string,
  name: string,
  temporaryFiles: TemporaryFiles,
): Promise<ClaimedFile | undefined> {
  const stats = fstatSync(file.fd, { bigint: true });
  const forget = temporaryFiles.add(path, stats);
  let owner: Locked | 'held' | 'gone' = 'gone';
  try {
    owner = await lockAt(path);
  } finally {
    if (typeof owner !== 'object') forget();
  }
  if (owner === 'held' || owner === 'gone') return undefined;
  const { handle, identity } = owner;
  const release = async () => {
    forget();
    await letGo(handle);
  };
  if (identity !== fileIdentity(stats)) {
    await release();
    return undefined;
  }
  const lost = (what: string) =>
    new Qcow2cError('ERR_IO', `${quoted(name)} is lost: ${what}`, { file: name });
  const refuseLoss = async () => {
    if (temporaryFiles.isAbandoned) throw abortedError(undefined);
    if ((await identityAt(path)) === identity) return;
    throw lost(`another process removed, moved or replaced its temporary file ${quoted(path)}`);
  };
  const refuseOther = async (named: string) => {
    const found = await identityAt(named);
    if (found === undefined || found === identity) return;
    throw lost('another process gave its name to another file');
  };
  const remove = () => removeIfStill(path, identity);
  return { file, refuseLoss, refuseOther, remove, release };
}

/** Closes the file, and removes it unless another file has its name by now. Never throws. */
async function removeUnclaimed(file: DirectFile, path: string): Promise<void> {
  try {
    await removeIfStill(path, fileIdentity(fstatSync(file.fd, { bigint: true })));
  } catch {
    // The file's identity is unknown: the next run to the same target finds and removes the file.
  }
  await file.close().catch(() => {});
}

/**
 * Removes the file if the name still belongs to it. Never throws: the next run to the same target removes a file that
 * stays.
 */
async function removeIfStill(path: string, identity: string): Promise<void> {
  try {
    if ((await identityAt(path)) === identity) await fs.unlink(path);
  } catch {
    // It stays.
  }
}

/** @returns undefined when no file has this name @throws the system's error */
async function identityAt(path: string): Promise<string | undefined> {
  try {
    return fileIdentity(await fs.lstat(path, { bigint: true }));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    return undefined;
  }
}

/** Closes the file, which releases its lock. Nothing was written through the handle, so errors are ignored. */
async function letGo(handle: fs.FileHandle): Promise<void> {
  await handle.close().catch(() => {});
}

/** @throws Qcow2cError ERR_IN_USE when the file is locked, or its lock cannot be tested; ERR_IO */
async function removeLeftover(path: string, name: string): Promise<void> {
  let owner: Locked | 'held' | 'gone';
  try {
    owner = await lockAt(path);
    if (owner === 'gone') return;
    if (typeof owner === 'object') {
      try {
        if (!owner.isLocked) {
          const question = `another run is writing ${quoted(name)}, or was killed`;
          const message = `${quoted(path)} exists: ${question}; if no run is in progress, remove the file`;
          throw new Qcow2cError('ERR_IN_USE', message, { file: name });
        }
        await fs.unlink(path);
        return;
      } finally {
        await letGo(owner.handle);
      }
    }
  } catch (error) {
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not remove ${quoted(path)}, left behind by an earlier run`, error, {
      file: path,
    });
  }
  throw inUse(name, await processWith(path));
}

interface Locked {
  readonly handle: fs.FileHandle;
  readonly identity: string;
  /** False if the file system does not support locks. */
  readonly isLocked: boolean;
}

/** Opens and locks the file that has the name `path` now. @throws the system's error */
async function lockAt(path: string): Promise<Locked | 'held' | 'gone'> {
  let handle: fs.FileHandle;
  try {
    handle = await fs.open(path, constants.O_RDWR | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 'gone';
    throw error;
  }
  try {
    const reason = await lockByte(handle.fd, OWNER_BYTE, true);
    if (HELD.includes(reason?.code ?? '')) {
      await letGo(handle);
      return 'held';
    }
    // Its last owner may have renamed or removed it just before releasing the lock.
    const identity = fileIdentity(await handle.stat({ bigint: true }));
    if ((await identityAt(path)) !== identity) {
      await letGo(handle);
      return 'gone';
    }
    return { handle, identity, isLocked: reason === undefined };
  } catch (error) {
    await letGo(handle);
    throw error;
  }
}

/** @returns the number of a process that has the file open; undefined if /proc shows none */
async function processWith(path: string): Promise<string | undefined> {
  const real = await fs.realpath(path).catch(() => path);
  for (const id of await fs.readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(id) || id === String(process.pid)) continue;
    for (const descriptor of await fs.readdir(`/proc/${id}/fd`).catch(() => [])) {
      if ((await fs.readlink(`/proc/${id}/fd/${descriptor}`).catch(() => '')) === real) return id;
    }
  }
  return undefined;
}

function inUse(name: string, id: string | undefined): Qcow2cError {
  const writer = id === undefined ? 'another run' : `process ${id}`;
  const message = `${quoted(name)} is being written by ${writer} (wait until it has ended)`;
  return new Qcow2cError('ERR_IN_USE', message, { file: name, found: id });
}
