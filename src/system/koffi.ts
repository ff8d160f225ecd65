/** Loads the package koffi, which calls C functions. */
import { createRequire } from 'node:module';

export type Koffi = typeof import('koffi');

const ownRequire = createRequire(import.meta.url);

/**
 * koffi's binary has a package for each system. koffi's own code around it only adds deprecated functions, and
 * takes ten times as long to load.
 * @returns koffi; the first call of each thread loads it
 * @throws Error when it is not installed, has no binary for this system, or no free descriptor is left to load it; the
 *   next call tries again
 */
export function loadKoffi(): Koffi {
  try {
    const koffiRequire = createRequire(ownRequire.resolve('koffi'));
    return koffiRequire(`@koromix/koffi-${process.platform}-${process.arch}`) as Koffi;
  } catch {
    // The binary is elsewhere: koffi finds it or reports the error.
    return ownRequire('koffi') as Koffi;
  }
}

/** Whether an error means that the process or the system has reached its limit of open files. */
export function lacksDescriptor(error: unknown): boolean {
  return ['EMFILE', 'ENFILE'].includes((error as NodeJS.ErrnoException).code ?? '');
}
