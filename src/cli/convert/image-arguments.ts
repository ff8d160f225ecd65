/**
 * The file names of `convert`: what is read, what is written, and in which format each is. Used by the reader of
 * convert's options.
 */
import type { ConvertOptions } from '../../convert/options.js';
import { quoted, usageError } from '../../errors.js';
import type { ImageFormat } from '../../image/image-reference.js';
import { asksForDirect } from '../../storage/cache-mode.js';
import { sourceFile, targetFile } from '../options/file-names.js';
import { sourceFormatOf, targetFormatOf } from '../options/image-formats.js';
import { readImageOptions, readTargetOptions } from '../options/image-options.js';
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
): Pick<ConvertOptions, 'sources' | 'sourceFormat'> {
  const { sourceFormat, forceShare = false } = words;
  if (words.sourceImageOpts) {
    if (sourceFormat !== undefined) throw usageError(TWO_FORMATS);
    const use = {
      role: 'source',
      direct: asksForDirect(words.sourceCache ?? 'writeback'),
      forceShare,
    } as const;
    return { sources: files.map((text) => readImageOptions(text, use)) };
  }
  const [first = ''] = files;
  const format =
    sourceFormat === undefined
      ? undefined
      : sourceFormatOf(sourceFormat, `Could not open ${quoted(first)}: `);
  return { sources: files.map(sourceOf), sourceFormat: format };
}

function sourceOf(file: string): ConvertOptions['sources'][number] {
  return file === STANDARD_INPUT ? { stream: 0, name: 'standard input' } : sourceFile(file);
}

export interface NamedTarget {
  readonly file: string;
  readonly format: ImageFormat;
  readonly isStated: boolean;
}

/**
 * @param file as it was typed
 * @returns the name, and the format with whether it was stated or follows from other options and the name
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED
 */
export function readTarget(file: string, words: ConvertWords): NamedTarget {
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
