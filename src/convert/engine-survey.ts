/** The engines and optional packages of this machine, for `--version`. */
import { type EngineSurvey, type LibraryOrigin, surveyCompression } from '../engines/survey.js';
import { findLibnbd } from '../nbd/libnbd.js';
import { isFsExtInstalled } from '../system/fs-ext-package.js';
import { loadSeek } from '../system/seek.js';

export interface Survey extends EngineSurvey {
  /** Whether fs-ext is installed. It is loaded only where koffi cannot call lseek. */
  readonly fsExt: boolean;
  /** The package that calls lseek to find holes; undefined: none can, and holes are read. */
  readonly lseek: 'koffi' | 'fs-ext' | undefined;
  /** The library that connects to NBD exports. */
  readonly libnbd: Omit<LibraryOrigin, 'note'> | undefined;
}

/** @returns the engines and optional packages of this machine */
export async function surveyEngines(): Promise<Survey> {
  const [engines, seek] = await Promise.all([surveyCompression(), loadSeek()]);
  return { ...engines, fsExt: isFsExtInstalled(), lseek: seek?.through, libnbd: originOfLibnbd() };
}

function originOfLibnbd(): Survey['libnbd'] {
  const library = findLibnbd();
  return library && { version: library.version, file: library.file };
}
