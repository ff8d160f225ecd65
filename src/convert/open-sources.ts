/** Opens what a conversion reads: one image or several joined end to end, or a stream. */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, usageError } from '../errors.js';
import { Concatenation } from '../image/concatenation.js';
import type { ImageReference, StreamReference } from '../image/image-reference.js';
import type { Source } from '../image/source.js';
import { type OpenedImage, type OpenSettings, openImage } from '../open/open-image.js';
import { StreamSource } from '../raw/stream-source.js';
import { asksForDirect } from '../storage/cache-mode.js';
import type { ConvertOptions } from './options.js';

/** Sources that can be read anywhere. */
export interface OpenedSources {
  /** What the guest sees; closes all images. */
  readonly source: Source;
  readonly images: readonly OpenedImage[];
  /** What offset, length and address of a read on any descriptor must be multiples of, in bytes. */
  readonly readAlignment: number;
  readonly compressionTypes: ReadonlySet<CompressionType>;
  /** How long it took until every later write had to change a file's times, in ms. */
  readonly settledMs: number;
}

type SourceOptions = Pick<
  ConvertOptions,
  | 'sources'
  | 'sourceFormat'
  | 'sourceCache'
  | 'snapshot'
  | 'isolated'
  | 'bitmaps'
  | 'forceShare'
  | 'onWarning'
>;

/**
 * The stream that is to be converted; undefined when the sources are images.
 * @throws Qcow2cError ERR_USAGE for what a stream cannot be or have; ERR_IO, ERR_UNSUPPORTED as StreamSource.open
 */
export function openStream(options: SourceOptions): StreamSource | undefined {
  const reference = options.sources.find((source) => isStream(source));
  if (reference === undefined) return undefined;
  const cannot = (what: string) => usageError(`A stream cannot be ${what}`);
  if (options.sources.length > 1) throw cannot('joined with other sources');
  if (options.sourceFormat === 'qcow2') throw cannot('a qcow2 image, only a raw disk');
  if (options.snapshot !== undefined) throw cannot('a source of snapshots');
  if (options.bitmaps !== undefined) throw cannot('a source of bitmaps');
  return StreamSource.open(reference);
}

/**
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_USAGE; nothing stays open then
 */
export async function openSources(options: SourceOptions): Promise<OpenedSources> {
  const { forceShare } = options;
  const references = options.sources.flatMap((source): ImageReference[] => {
    if (typeof source === 'string') return [{ file: source, format: options.sourceFormat, forceShare }];
    return isStream(source) ? [] : [{ ...source, forceShare: source.forceShare ?? forceShare }];
  });
  if (references.length === 0) throw usageError('Must specify image file name');
  if (options.snapshot !== undefined && references.length > 1) {
    throw usageError('No support for concatenating multiple snapshot');
  }
  const settings = openSettings(options);
  const images: OpenedImage[] = [];
  try {
    for (const reference of references) images.push(await openImage(reference, options.snapshot, settings));
  } catch (error) {
    await Promise.all(images.map(({ source }) => source.close()));
    throw error;
  }
  const sources = images.map(({ source }) => source);
  const [only] = sources;
  return {
    source: sources.length === 1 && only !== undefined ? only : new Concatenation(sources),
    images,
    readAlignment: Math.max(...images.map(({ readAlignment }) => readAlignment)),
    compressionTypes: new Set(images.flatMap(({ compressionTypes }) => [...compressionTypes])),
    settledMs: images.reduce((sum, { settledMs }) => sum + settledMs, 0),
  };
}

/** @returns the only image of the sources, for what several cannot have; `refusal` says what */
export function onlyImage({ images }: OpenedSources, refusal: string): OpenedImage {
  const [only] = images;
  if (images.length === 1 && only !== undefined) return only;
  throw new Qcow2cError('ERR_USAGE', refusal);
}

/** How a conversion opens what it reads. */
export function openSettings({
  sourceCache,
  isolated = false,
  onWarning,
}: Pick<ConvertOptions, 'sourceCache' | 'isolated' | 'onWarning'>): OpenSettings {
  return { direct: asksForDirect(sourceCache), isolated, copies: true, detectsChanges: true, onWarning };
}

function isStream(source: string | ImageReference | StreamReference): source is StreamReference {
  return typeof source === 'object' && 'stream' in source;
}
