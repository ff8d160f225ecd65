/** Lists the engines and optional packages of this machine, for --version. */
import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import type { NativeEngine } from './codec.js';
import { findLibrary } from './installed-libraries.js';
import { isalUnportable } from './isal.js';
import { libzstdVersion } from './libzstd.js';
import { koffiVersion, type NativeLibrary } from './native-library.js';
import { hasNodeZstd } from './node-zstd.js';

/** The origin of a native library. */
export interface LibraryOrigin {
  /** The loaded file, symbolic links resolved. */
  readonly file: string;
  /** ISA-L and libdeflate do not report a version; their file name is used, whose number is that of the interface. */
  readonly version: string;
  /** A note about the library on this machine. */
  readonly note?: string;
}

/** The engines and optional packages of this machine; undefined if missing. */
export interface EngineSurvey {
  readonly isal: LibraryOrigin | undefined;
  readonly libdeflate: LibraryOrigin | undefined;
  readonly libzstd: LibraryOrigin | undefined;
  /** Versions of the libraries built into Node.js. */
  readonly nodeZlib: string;
  readonly nodeZstd: string | undefined;
  /** Version of the package. */
  readonly koffi: string | undefined;
}

/** @returns every engine and optional package of this machine with its version */
export async function surveyCompression(): Promise<EngineSurvey> {
  const note = isalUnportable();
  const isal = await originOf('isal');
  return {
    isal: isal && note !== undefined ? { ...isal, note } : isal,
    libdeflate: await originOf('libdeflate'),
    libzstd: await originOf('libzstd', libzstdVersion),
    nodeZlib: process.versions.zlib,
    nodeZstd: hasNodeZstd() ? process.versions['zstd'] : undefined,
    koffi: await koffiVersion(),
  };
}

async function originOf(
  engine: NativeEngine,
  versionOf = ({ name }: NativeLibrary) => basename(name),
): Promise<LibraryOrigin | undefined> {
  const library = await findLibrary(engine);
  if (library === undefined) return undefined;
  const { path } = library;
  // A plain name, used if the system does not report the file, stays unchanged.
  return { version: versionOf(library), file: await realpath(path).catch(() => path) };
}
