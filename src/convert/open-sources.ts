/** Opens what a conversion reads: one image or several joined end to end, or a stream. */
import type { CompressionType } from '../compression-type.js';
import { internalError } from '../errors.js';
import { Concatenation } from '../image/concatenation.js';
import type { ImageReference } from '../image/image-reference.js';
import { type OpenedImage, type OpenSettings, openImage } from '../image/open-image.js';
import type { Source } from '../image/source.js';
import { openNamedStream } from '../raw/named-stream.js';
import { StreamSource } from '../raw/stream-source.js';
import { asksForDirect } from '../storage/cache-mode.js';
import type { ConvertOptions } from './options.js';
import { isStream, refuseForStream, streamName } from './stream-reference.js';

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
 * @throws Qcow2cError as `refuseForStream`; ERR_IO, ERR_UNSUPPORTED as `StreamSource.open`
 */
export async function openStream(options: SourceOptions): Promise<StreamSource | undefined> {
  const names = await Promise.all(options.sources.map(streamName));
  const found = options.sources[names.findIndex((name) => name !== undefined)];
  if (found === undefined) return undefined;
  // Before it is opened: that would let the writer of a named pipe go on, who has only one reader.
  refuseForStream(found, options);
  const reference = isStream(found)
    ? found
    : await openNamedStream(typeof found === 'string' ? found : found.file);
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

/** The only image of the sources, for what several cannot have: `validateConversion` has refused that. */
export function onlyImage({ images }: OpenedSources): OpenedImage {
  const [only] = images;
  if (images.length === 1 && only !== undefined) return only;
  throw internalError(`${images.length} images where one was expected`);
}

/** How a conversion opens what it reads. */
export function openSettings({
  sourceCache,
  isolated = false,
  onWarning,
}: Pick<ConvertOptions, 'sourceCache' | 'isolated' | 'onWarning'>): OpenSettings {
  return { direct: asksForDirect(sourceCache), isolated, copies: true, detectsChanges: true, onWarning };
}
