/**
 * Detects sources that are streams, and refuses options that a stream cannot have. For conversions and measurements.
 */
import { Qcow2cError, quoted, usageError } from '../errors.js';
import type { ImageFormat, ImageReference, StreamReference } from '../image/image-reference.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { isStreamName } from '../raw/named-stream.js';
import { streamTitle } from '../storage/stream-name.js';
import type { ConvertOptions } from './options.js';

type SourceReference = ConvertOptions['sources'][number];

export function isStream(source: SourceReference): source is StreamReference {
  return typeof source === 'object' && 'stream' in source;
}

/** The name of a source that is a stream, for messages; undefined for an image. Opens nothing. */
export async function streamName(source: SourceReference): Promise<string | undefined> {
  const name = nameOf(source);
  if (isStream(source)) return name;
  return !isNbdName(name) && (await isStreamName(name)) ? name : undefined;
}

function nameOf(source: SourceReference): string {
  if (typeof source === 'string') return source;
  return isStream(source) ? streamTitle(source) : source.file;
}

/** The format that the caller states for a source. @param format of sources given as a name alone */
export function statedFormat(
  source: SourceReference,
  format: ImageFormat | undefined,
): ImageFormat | undefined {
  return typeof source === 'string' || isStream(source) ? format : source.format;
}

/**
 * @param source a stream, one of `sources`
 * @throws Qcow2cError ERR_USAGE, ERR_UNSUPPORTED for options that need more than one pass, or more than one source
 */
export function refuseForStream(
  source: SourceReference,
  {
    sources,
    sourceFormat,
    snapshot,
    bitmap,
    bitmaps,
  }: Pick<ConvertOptions, 'sources' | 'sourceFormat' | 'snapshot' | 'bitmap' | 'bitmaps'>,
): void {
  const file = nameOf(source);
  const name = quoted(file);
  const reference = typeof source === 'string' || isStream(source) ? undefined : source;
  if (sources.length > 1) {
    const instead =
      "join the parts on the way ('cat A B | qcow2c convert - OUT'), or save it to a file first";
    throw usageError(`${name} is a stream, which must be the only source; ${instead}`, { file });
  }
  if (statedFormat(source, sourceFormat) === 'qcow2') {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `${name} is a stream, which can only be a raw disk: a qcow2 image is not read from start to end; save it to a ` +
        'file first',
      { file, found: 'qcow2', expected: 'raw' },
    );
  }
  if (snapshot !== undefined) {
    throw usageError(`Failed to load snapshot: ${name} is a stream of a raw disk, which has none`, { file });
  }
  if (bitmap !== undefined || bitmaps !== undefined) {
    throw usageError(`Source lacks bitmap support: ${name} is a stream of a raw disk`, { file });
  }
  const part = reference && partOf(reference);
  if (part !== undefined) throw usageError(`${name} is a stream, which cannot have '${part}'`, { file });
}

/** The first property of a reference that only an image in a file can have. */
function partOf({ offset, size, backing, dataFile }: ImageReference): string | undefined {
  if (offset !== undefined) return 'offset';
  if (size !== undefined) return 'size';
  if (backing !== undefined) return 'backing';
  return dataFile === undefined ? undefined : 'data-file';
}
