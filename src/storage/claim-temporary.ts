/**
 * Makes the temporary file of a target, of which there is one at a time. Its maker keeps it locked until it is
 * renamed or removed: a locked one belongs to a run that is under way, any other is what a killed run has left
 * behind, and goes.
 */
import { constants, fstatSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import type { CacheMode } from './cache-mode.js';
import { DirectFile } from './direct-file.js';
import { lockByte } from './libc.js';

/** None of the bytes that QEMU locks. */
const OWNER_BYTE = 300;
/** Whoever loses the name again and again to others that come and go is told so. */
const MOST_ATTEMPTS = 16;
/** A lock that somebody else holds; every other reason means that there are no locks here. */
const HELD = ['EAGAIN', 'EACCES'];

export interface ClaimedFile {
  readonly file: DirectFile;
  /** Gives up the claim. Call it once the file has its own name or is removed. Never throws. */
  release(): Promise<void>;
}

/**
 * @param path of the temporary file
 * @param name of the target, for messages
 * @param permissions of the file, before the umask
 * @throws Qcow2cError ERR_IN_USE when another run is making the same target; ERR_IO; nothing is left behind then
 */
export async function claimTemporary(
  path: string,
  name: string,
  mode: CacheMode,
  permissions: number,
): Promise<ClaimedFile> {
  for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt += 1) {
    let file: DirectFile;
    try {
      file = await DirectFile.open(path, name, mode, constants.O_CREAT | constants.O_EXCL, permissions);
    } catch (error) {
      if (!(error instanceof Qcow2cError) || error.systemCode !== 'EEXIST') throw error;
      await removeLeftover(path, name);
      continue;
    }
    const claimed = await claim(file, path).catch(async (error) => {
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
 * Until it is locked somebody may take it for a leftover. What is there then is his.
 * @returns undefined when that has happened
 */
async function claim(file: DirectFile, path: string): Promise<ClaimedFile | undefined> {
  const made = inodeOf(file);
  const owner = await lockAt(path);
  if (owner === 'held' || owner === 'gone') return undefined;
  const { handle, inode } = owner;
  if (inode === made) return { file, release: () => letGo(handle) };
  await letGo(handle);
  return undefined;
}

/** Closes the file and removes it, unless what has its name by now is somebody else's. Never throws. */
async function removeUnclaimed(file: DirectFile, path: string): Promise<void> {
  try {
    const there = await fs.lstat(path, { bigint: true });
    if (there.ino === inodeOf(file)) await fs.unlink(path);
  } catch {
    // Then it stays, and the next run to the same target finds and removes it.
  }
  await file.close().catch(() => {});
}

function inodeOf({ fd }: DirectFile): bigint {
  return fstatSync(fd, { bigint: true }).ino;
}

/** Nothing was written through it. */
async function letGo(handle: fs.FileHandle): Promise<void> {
  await handle.close().catch(() => {});
}

/** @throws Qcow2cError ERR_IN_USE when it is locked or nobody can tell; ERR_IO */
async function removeLeftover(path: string, name: string): Promise<void> {
  let owner: Locked | 'held' | 'gone';
  try {
    owner = await lockAt(path);
    if (owner === 'gone') return;
    if (typeof owner === 'object') {
      try {
        if (!owner.sure) {
          const message = `${quoted(path)} is there: another run is making ${quoted(name)}, or one was killed; if none is, remove it`;
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
    throw ioError(`Could not remove ${quoted(path)}, which an earlier run has left behind`, error, {
      file: path,
    });
  }
  throw inUse(name, await processWith(path));
}

interface Locked {
  readonly handle: fs.FileHandle;
  readonly inode: bigint;
  /** Whether there are locks here at all. */
  readonly sure: boolean;
}

/** Opens and locks what is at `path` now. @throws the system's error */
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
    // Its last owner may have renamed or removed it just before he let go.
    const { ino: inode } = await handle.stat({ bigint: true });
    const there = await fs.lstat(path, { bigint: true }).catch(orMissing);
    if (there?.ino !== inode) {
      await letGo(handle);
      return 'gone';
    }
    return { handle, inode, sure: reason === undefined };
  } catch (error) {
    await letGo(handle);
    throw error;
  }
}

/** @throws the error, unless it says that the file is not there */
function orMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

/** The process that has the file open; undefined where /proc does not tell. */
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
  const who = id === undefined ? 'another run' : `process ${id}`;
  return new Qcow2cError('ERR_IN_USE', `${quoted(name)} is being made by ${who}`, { file: name, found: id });
}
