/** Loads the package fs-ext, which is optional. */
import { createRequire } from 'node:module';

export type FsExt = typeof import('fs-ext');

const ownRequire = createRequire(import.meta.url);

/** @throws Error when it is not installed, or was compiled for another Node.js */
export function loadFsExt(): FsExt {
  return ownRequire('fs-ext') as FsExt;
}

/** Whether it is installed. Does not load it. */
export function isFsExtInstalled(): boolean {
  try {
    ownRequire.resolve('fs-ext');
    return true;
  } catch {
    return false;
  }
}
