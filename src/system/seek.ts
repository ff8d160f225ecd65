/**
 * lseek(2), which Node.js lacks: through koffi, or through fs-ext where koffi has no binary for the system. fs-ext
 * crashes the process when a second thread loads it, so it is loaded on the main thread only.
 */
import { constants } from 'node:os';
import { isMainThread } from 'node:worker_threads';
import { type FsExt, loadFsExt } from './fs-ext-package.js';
import { type Lseek, loadLseek } from './libc.js';

const SEEK_END = 2;

/** How lseek is called on this thread. */
export interface Seek extends Lseek {
  readonly through: 'koffi' | 'fs-ext';
}

let loaded: Promise<Seek | undefined> | undefined;

/**
 * @returns undefined where neither package can call lseek
 * @throws Qcow2cError ERR_IO when no free descriptor is left to load koffi; the next call tries again
 */
export function loadSeek(): Promise<Seek | undefined> {
  loaded ??= load().catch((error) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function load(): Promise<Seek | undefined> {
  const lseek = await loadLseek();
  if (lseek !== undefined) return { ...lseek, through: 'koffi' };
  return isMainThread ? seekWithFsExt() : undefined;
}

function seekWithFsExt(): Seek | undefined {
  let fsExt: FsExt;
  try {
    fsExt = loadFsExt();
  } catch {
    return undefined;
  }
  return {
    through: 'fs-ext',
    now(descriptor, offset, whence) {
      try {
        return fsExt.seekSync(descriptor, offset, whence);
      } catch (error) {
        return negativeNumberOf(error);
      }
    },
    later(descriptor, offset, whence) {
      return new Promise((resolve) => {
        fsExt.seek(descriptor, offset, whence, (error, reached) =>
          resolve(error === null || error === undefined ? reached : negativeNumberOf(error)),
        );
      });
    },
  };
}

/** fs-ext's errors have the system's name; the sign of their number depends on its version. */
function negativeNumberOf(error: unknown): number {
  const { code = '' } = error as NodeJS.ErrnoException;
  const number = constants.errno[code as keyof typeof constants.errno];
  if (number === undefined) throw error;
  return -number;
}

/** @returns the offset of the end in bytes, on Linux also a device's; undefined if it is unknown */
export async function seekEnd(descriptor: number): Promise<number | undefined> {
  const end = (await loadSeek())?.now(descriptor, 0, SEEK_END);
  return end !== undefined && end >= 0 ? end : undefined;
}
