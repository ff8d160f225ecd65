/**
 * The file names of `convert`: what is read, what is written, and in which format each is. Used by the reader of
 * convert's options.
 */
import type { ConvertOptions } from '../../convert/options.js';
import { Qcow2cError, quoted, usageError } from '../../errors.js';
import type { ImageFormat } from '../../image/image-reference.js';
import { asksForDirect } from '../../storage/cache-mode.js';
import { sourceFile, targetFile } from '../file-names.js';
import { sourceFormatOf, targetFormatOf } from '../image-formats.js';
import { readImageOptions, readTargetOptions } from '../image-options.js';
import type { ConvertWords } from './words.js';

/** The source that stands for standard input; a file of that name is './-'. */
const STANDARD_INPUT = '-';
const TWO_FORMATS = '--image-opts and --format are mutually exclusive';

/**
 * @param files as they were typed, at least one
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED
 */
export function readSources(
  files: readonly string[],
  words: ConvertWords,
): Pick<ConvertOptions, 'sources' | 'sourceFormat'> & { readonly isStream: boolean } {
  const { sourceFormat, forceShare = false } = words;
  if (words.sourceImageOpts) {
    if (sourceFormat !== undefined) throw usageError(TWO_FORMATS);
    const use = {
      role: 'source',
      direct: asksForDirect(words.sourceCache ?? 'writeback'),
      forceShare,
    } as const;
    return { sources: files.map((text) => readImageOptions(text, use)), isStream: false };
  }
  const [first = ''] = files;
  const format =
    sourceFormat === undefined
      ? undefined
      : sourceFormatOf(sourceFormat, `Could not open ${quoted(first)}: `);
  if (files.includes(STANDARD_INPUT)) {
    refuseForStream(files, format, words);
    return { sources: [{ stream: 0, name: 'standard input' }], sourceFormat: format, isStream: true };
  }
  return { sources: files.map(sourceFile), sourceFormat: format, isStream: false };
}

/** What needs more than one pass over the source, or more than one source. */
function refuseForStream(
  files: readonly string[],
  format: ImageFormat | undefined,
  { snapshot, bitmaps }: ConvertWords,
): void {
  if (files.length > 1) throw usageError("Standard input ('-') must be the only source");
  if (format === 'qcow2') {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      'Standard input can only be a raw disk: a qcow2 image is not read from start to end (save it to a file first)',
    );
  }
  if (snapshot !== undefined) throw usageError('Failed to load snapshot: standard input is a raw disk');
  if (bitmaps) throw usageError('Source lacks bitmap support');
}

/**
 * @param file as it was typed
 * @returns the name, and the format with whether it was stated or follows from other options and the name
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED
 */
export function readTarget(
  file: string,
  words: ConvertWords,
): { readonly file: string; readonly format: ImageFormat; readonly isStated: boolean } {
  const { targetFormat, targetCache = 'none' } = words;
  if (words.targetImageOpts) {
    if (targetFormat !== undefined) throw usageError(TWO_FORMATS);
    const direct = asksForDirect(targetCache);
    return { ...readTargetOptions(file, { direct, forceShare: false }), isStated: true };
  }
  const implied = words.compress || file.endsWith('.qcow2') ? 'qcow2' : 'raw';
  const format = targetFormatOf(targetFormat ?? implied);
  return { file: targetFile(file), format, isStated: targetFormat !== undefined };
}
