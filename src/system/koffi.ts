/** Loads the package koffi, which calls C functions. */
import { createRequire } from 'node:module';

export type Koffi = typeof import('koffi');

const ownRequire = createRequire(import.meta.url);

/**
 * koffi's binary has a package for each system. koffi's own code around it only adds functions that it deprecates, and
 * takes ten times as long to load.
 * @returns koffi; the first call of each thread loads it
 * @throws Error when it is not installed or has no binary for this system, or no descriptor is left to load it: the next
 *   call tries again
 */
export function loadKoffi(): Koffi {
  try {
    const koffiRequire = createRequire(ownRequire.resolve('koffi'));
    return koffiRequire(`@koromix/koffi-${process.platform}-${process.arch}`) as Koffi;
  } catch {
    // The binary is elsewhere, or koffi reports the error.
    return ownRequire('koffi') as Koffi;
  }
}

/** @returns whether a descriptor was missing: the process or the system has reached its limit of open files */
export function lacksDescriptor(error: unknown): boolean {
  return ['EMFILE', 'ENFILE'].includes((error as NodeJS.ErrnoException).code ?? '');
}
