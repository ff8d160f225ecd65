/** The library: what `import … from 'qcow2c'` gives. Its functions take the names of files as they are called. */
import { check as checkImage } from './check/check.js';
import type { CheckOptions, CheckResult } from './check/options.js';
import { compare as compareImages } from './compare/compare.js';
import type { CompareOptions, CompareResult } from './compare/options.js';
import { convert as convertImages } from './convert/convert.js';
import type { ConvertOptions, ConvertResult } from './convert/options.js';
import { callerImage, callerName, callerSource, refuseNoText } from './image/caller-names.js';
import type { ImageInfo, ImageInfoOptions } from './info/image-info.js';
import { imageInfo as describeImage } from './info/info.js';
import { mapImage as mapRanges } from './map/map-image.js';
import type { MapOptions, MapRange } from './map/options.js';
import { measure as measureImage } from './measure/measure.js';
import type { Measurement, MeasureOptions } from './measure/options.js';

export type { CheckTotals, Finding } from './check/findings.js';
export type { CheckOptions, CheckResult } from './check/options.js';
export type { CompareOptions, CompareResult, Verdict } from './compare/options.js';
export type { CompressionType } from './compression-type.js';
export { type Survey, surveyEngines } from './convert/engine-survey.js';
export type { ConvertOptions, ConvertResult, VerifiedFrom } from './convert/options.js';
export type { EngineName } from './engines/codec.js';
export { type ErrorCode, type ErrorFacts, Qcow2cError } from './errors.js';
export type { ClusterCounts, Examination, StreamTotals } from './examine/examine-image.js';
export type { ImageFormat, ImageReference, StreamReference } from './image/image-reference.js';
export type {
  BackingInfo,
  BitmapInfo,
  DataFileInfo,
  ImageInfo,
  ImageInfoOptions,
  Qcow2Info,
  SnapshotInfo,
} from './info/image-info.js';
export type { MapOptions, MapRange } from './map/options.js';
export type { Estimate, Measurement, MeasureOptions } from './measure/options.js';
export type { CreateOptions } from './qcow2/create-options.js';
export type { Encryption, KeySlot, LuksEncryption } from './qcow2/encryption-header.js';
export type { SnapshotSelector } from './qcow2/snapshot-table.js';
export { CACHE_MODES, type CacheMode } from './storage/cache-mode.js';
export { closeWorkers } from './workers/idle-threads.js';
export type { Side } from './workers/messages/comparison.js';
export type { Progress } from './workers/progress.js';
export type { UnreadableRange } from './workers/unreadable-range.js';

/**
 * Converts disk images to a qcow2 image or a raw disk.
 * @throws Qcow2cError. The target is then as it was before, and nothing else is left behind, unless the directory
 *   could not be synced: then the image has its name, and may lose it in a power failure.
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  const { backingFile, dataFile } = options.create ?? {};
  // The new image holds these two as they are given.
  for (const [argument, name] of Object.entries({ backingFile, dataFile })) {
    if (name !== undefined) refuseNoText(name, `create.${argument}`);
  }
  return convertImages({
    ...options,
    sources: options.sources.map((source, index) => callerSource(source, `sources[${index}]`)),
    target: callerName(options.target, 'target'),
  });
}

/**
 * Checks an image, and repairs it when `repair` asks for that.
 * @returns undefined for a format that has no checks
 * @throws Qcow2cError
 */
export async function check(options: CheckOptions): Promise<CheckResult | undefined> {
  return checkImage({ ...options, image: callerImage(options.image, 'image') });
}

/**
 * Compares what a guest sees in two images.
 * @returns the verdict, also when something cannot be read: then nothing before that is different
 * @throws Qcow2cError when an image cannot be opened, or is written to meanwhile
 */
export async function compare(options: CompareOptions): Promise<CompareResult> {
  const [one, other] = options.images;
  const images = [callerSource(one, 'images[0]'), callerSource(other, 'images[1]')] as const;
  return compareImages({ ...options, images });
}

/**
 * Describes an image.
 * @returns the image, then with `backingChain` its backing file, that one's, and so on
 * @throws Qcow2cError
 */
export async function imageInfo(options: ImageInfoOptions): Promise<ImageInfo[]> {
  return describeImage({ ...options, image: callerImage(options.image, 'image') });
}

/**
 * Tells range by range where a disk is stored. Nothing stays open when the caller ends early.
 * @returns at least one range; one without length where there is nothing to look at
 * @throws Qcow2cError
 */
export function mapImage(options: MapOptions): AsyncGenerator<MapRange, void, undefined> {
  return mapRanges({ ...options, image: callerImage(options.image, 'image') });
}

/**
 * Measures how large an image would become, without making it.
 * @throws Qcow2cError
 */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  const { source } = options;
  return measureImage(
    source === undefined ? options : { ...options, source: callerSource(source, 'source') },
  );
}
