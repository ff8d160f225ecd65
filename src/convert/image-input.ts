/** Images as the input of a conversion: one image, or several that are concatenated. */
import { internalError, quoted, usageError } from '../errors.js';
import { Concatenation } from '../image/concatenation.js';
import { type ImageReference, imageReference } from '../image/image-reference.js';
import { type OpenedImage, type OpenSettings, openImage } from '../image/open-image.js';
import { asksForDirect } from '../storage/cache-mode.js';
import { nextOf } from '../workers/pipeline.js';
import { plan } from '../workers/plan.js';
import type { Input } from './input.js';
import type { ConvertOptions } from './options.js';
import { planOverlay } from './plan-overlay.js';
import { isStream } from './stream-reference.js';

type ImageOptions = Pick<
  ConvertOptions,
  | 'sources'
  | 'sourceFormat'
  | 'sourceCache'
  | 'snapshot'
  | 'isolated'
  | 'forceShare'
  | 'minSize'
  | 'bitmap'
  | 'onWarning'
  | 'nbd'
>;

/**
 * Opens the sources, which must not be streams.
 * @throws Qcow2cError ERR_IO, ERR_FORMAT, ERR_CORRUPT, ERR_UNSUPPORTED, ERR_USAGE; no file stays open then
 */
export async function openImages(options: ImageOptions): Promise<Input> {
  const { forceShare, sourceFormat, snapshot, minSize = 0 } = options;
  const references = options.sources.flatMap((source): ImageReference[] => {
    if (isStream(source)) return [];
    const reference = imageReference(source, sourceFormat);
    return [{ ...reference, forceShare: reference.forceShare ?? forceShare }];
  });
  const settings = { ...openSettings(options), bitmap: options.bitmap };
  const images: OpenedImage[] = [];
  try {
    for (const reference of references) images.push(await openImage(reference, snapshot, settings));
    const input = imageInput(images);
    refuseShortDisk(input.name, input.size, minSize);
    return input;
  } catch (error) {
    await Promise.all(images.map(({ source }) => source.close()));
    throw error;
  }
}

/** @param images at least one; closed with the input */
export function imageInput(images: readonly OpenedImage[]): Input & { readonly size: number } {
  const sources = images.map(({ source }) => source);
  const [only] = sources;
  const source = sources.length === 1 && only !== undefined ? only : new Concatenation(sources);
  const readAlignment = Math.max(...images.map((image) => image.readAlignment));
  const compressionTypes = new Set(images.flatMap((image) => [...image.compressionTypes]));
  return {
    name: source.name,
    size: source.size,
    likelySize: source.size,
    images,
    compressionTypes,
    readAlignment,
    settledMs: images.reduce((sum, { settledMs }) => sum + settledMs, 0),
    arrives: false,
    content: { source, readAlignment, compressionTypes },
    fileOf: (descriptor) => source.fileOf(descriptor),
    items(settings) {
      const { backing } = settings;
      return nextOf(backing === undefined ? plan(source, settings) : planOverlay(source, backing, settings));
    },
    refuseChanges: () => source.refuseChanges(),
    [Symbol.asyncDispose]: () => source.close(),
  };
}

/** How a conversion opens the images that it reads. */
export function openSettings({
  sourceCache,
  isolated = false,
  onWarning,
  nbd,
}: Pick<ConvertOptions, 'sourceCache' | 'isolated' | 'onWarning' | 'nbd'>): OpenSettings {
  return { direct: asksForDirect(sourceCache), isolated, copies: true, detectsChanges: true, onWarning, nbd };
}

/** The only image. Options that need one are refused for several before any is opened. */
export function onlyImage({ images }: Pick<Input, 'images'>): OpenedImage {
  const [only] = images;
  if (images.length === 1 && only !== undefined) return only;
  throw internalError(`${images.length} images where one was expected`);
}

function refuseShortDisk(file: string, size: number, minSize: number): void {
  if (size >= minSize) return;
  const message = `${quoted(file)} has ${size} bytes: at least ${minSize} were expected (--min-size)`;
  throw usageError(message, { file, expected: minSize, found: size });
}
