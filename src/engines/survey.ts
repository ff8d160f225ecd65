/** Which engines and optional packages this machine has, for --version. */
import { realpath } from 'node:fs/promises';
import { basename } from 'node:path';
import type { NativeEngine } from './codec.js';
import { findLibrary } from './installed-libraries.js';
import { isalUnportable } from './isal.js';
import { libzstdVersion } from './libzstd.js';
import { koffiVersion, type NativeLibrary } from './native-library.js';
import { hasNodeZstd } from './node-zstd.js';

/** Where a native library comes from. */
export interface LibraryOrigin {
  /** What was loaded, without symbolic links. */
  readonly file: string;
  /** ISA-L and libdeflate do not tell theirs: the name they were found by, whose number is that of the interface. */
  readonly version: string;
  /** What to know of it on this machine. */
  readonly note?: string;
}

/** The engines and optional packages of this machine; undefined for what is missing. */
export interface EngineSurvey {
  readonly isal: LibraryOrigin | undefined;
  readonly libdeflate: LibraryOrigin | undefined;
  readonly libzstd: LibraryOrigin | undefined;
  /** Versions of what is built into Node.js. */
  readonly nodeZlib: string;
  readonly nodeZstd: string | undefined;
  /** Version of the package. */
  readonly koffi: string | undefined;
}

/** @returns every engine and optional package of this machine with its version */
export async function surveyEngines(): Promise<EngineSurvey> {
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
  // A path that is none (a name, where the system does not tell) stays as it is.
  return { version: versionOf(library), file: await realpath(path).catch(() => path) };
}
