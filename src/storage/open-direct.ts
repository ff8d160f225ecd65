/** Opens the target's file for reading and writing in a cache mode: with O_DIRECT if the file system supports it. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { asksForDirect, type CacheMode } from './cache-mode.js';

const openFile = promisify(fs.open);

/** undefined on systems without O_DIRECT (macOS, Windows). */
const O_DIRECT: number | undefined = fs.constants.O_DIRECT;
const O_DSYNC: number = fs.constants.O_DSYNC ?? 0;
/** A file that was opened with both flags did not exist before. */
const CREATES = fs.constants.O_CREAT | fs.constants.O_EXCL;

interface Opened {
  readonly descriptor: number;
  /** Why O_DIRECT is not used although the mode asks for it; undefined otherwise. */
  readonly directRefused: string | undefined;
}

/**
 * @param flags further open flags, such as O_CREAT | O_EXCL
 * @param permissions of a created file, before the umask
 * @throws the system's error
 */
export async function openInMode(
  path: string,
  mode: CacheMode,
  flags: number,
  permissions: number,
): Promise<Opened> {
  if (!asksForDirect(mode)) {
    return { descriptor: await openBuffered(path, mode, flags, permissions), directRefused: undefined };
  }
  const descriptor = await openDirect(path, openFlags(mode, flags), permissions);
  if (descriptor !== undefined) return { descriptor, directRefused: undefined };
  const directRefused =
    O_DIRECT === undefined ? 'this system has no O_DIRECT' : 'the file system refuses O_DIRECT';
  return { descriptor: await openBuffered(path, mode, flags, permissions), directRefused };
}

/** Opens the file through the page cache in any mode. Parameters and errors as for `openInMode`. */
export function openBuffered(path: string, mode: CacheMode, flags = 0, permissions = 0): Promise<number> {
  return openFile(path, openFlags(mode, flags), permissions);
}

/** @returns a descriptor with O_DIRECT; undefined if that is refused: then a file that the open created is removed */
async function openDirect(path: string, flags: number, permissions: number): Promise<number | undefined> {
  if (O_DIRECT === undefined) return undefined;
  try {
    return await openFile(path, flags | O_DIRECT, permissions);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    // The refused open may have created the file. Without both flags the file may have existed before.
    if ((flags & CREATES) === CREATES) await promisify(fs.unlink)(path).catch(() => {});
    return undefined;
  }
}

/** Whether the error means that O_DIRECT is refused, given that O_DIRECT was requested and has never worked before. */
export function isRefusal(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EINVAL';
}

function openFlags(mode: CacheMode, more: number): number {
  const durable = mode === 'directsync' || mode === 'writethrough' ? O_DSYNC : 0;
  return fs.constants.O_RDWR | durable | more;
}
