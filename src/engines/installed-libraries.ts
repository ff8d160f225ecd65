/** Finds, tests and keeps the native libraries of this machine, once in each thread. */
import { Qcow2cError } from '../errors.js';
import type { NativeEngine } from './codec.js';
import { ISAL_SYMBOL } from './isal.js';
import { LIBDEFLATE_SYMBOL } from './libdeflate.js';
import { tryIsal, tryLibdeflate, tryLibzstd } from './library-trial.js';
import { LIBZSTD_SYMBOL } from './libzstd.js';
import {
  ISAL_NAMES,
  LIBDEFLATE_NAMES,
  LIBZSTD_NAMES,
  loadNativeLibrary,
  type NativeLibrary,
} from './native-library.js';

interface Loading {
  readonly names: readonly string[];
  readonly symbol: string;
  readonly trial: (library: NativeLibrary) => void;
  /** Installation hints: the package of Debian, and the file for systems with other packages. */
  readonly remedy: string;
}

const LOADING: Readonly<Record<NativeEngine, Loading>> = {
  isal: {
    names: ISAL_NAMES,
    symbol: ISAL_SYMBOL,
    trial: tryIsal,
    remedy: 'install libisal2 (libisal.so.2) and the package koffi',
  },
  libdeflate: {
    names: LIBDEFLATE_NAMES,
    symbol: LIBDEFLATE_SYMBOL,
    trial: tryLibdeflate,
    remedy: 'install libdeflate0 (libdeflate.so.0) and the package koffi',
  },
  libzstd: {
    names: LIBZSTD_NAMES,
    symbol: LIBZSTD_SYMBOL,
    trial: tryLibzstd,
    remedy: 'install libzstd1 (libzstd.so.1) and the package koffi, or run Node.js 22.15 or later',
  },
};

/**
 * Libraries that passed the trial in this thread, by requested names and by file. Each is loaded once: koffi would bind
 * its functions again.
 */
const triedLibraries = new Map<string, NativeLibrary>();

/**
 * @param file the only file to try; default: the usual names
 * @returns the library, or undefined if none works
 */
export async function findLibrary(engine: NativeEngine, file?: string): Promise<NativeLibrary | undefined> {
  const { names: usual, symbol, trial } = LOADING[engine];
  const names = file === undefined ? usual : [file];
  const key = names.join();
  const library = triedLibraries.get(key) ?? (await loadNativeLibrary(names, symbol, trial));
  if (library === undefined) return undefined;
  triedLibraries.set(key, library);
  triedLibraries.set(library.path, library);
  return library;
}

/**
 * @param file the file found when the engine was chosen
 * @throws Qcow2cError ERR_ENGINE if it no longer exists
 */
export async function loadLibrary(engine: NativeEngine, file: string | undefined): Promise<NativeLibrary> {
  const library = file === undefined ? undefined : await findLibrary(engine, file);
  if (library === undefined) throw missingLibrary(`Engine ${engine} cannot be loaded`, engine);
  return library;
}

/** @returns an error with the installation hint */
export function missingLibrary(what: string, engine: NativeEngine): Qcow2cError {
  return new Qcow2cError('ERR_ENGINE', `${what}: ${LOADING[engine].remedy}`);
}
