/** The library: everything that a program can import from 'qcow2c'. */
import { takeOptions } from './arguments/options.js';
import { check as checkImage } from './check/check.js';
import type { CheckOptions, CheckResult } from './check/options.js';
import { checksum as digestImage } from './checksum/checksum.js';
import type { ChecksumOptions, ChecksumResult } from './checksum/options.js';
import { compare as compareImages } from './compare/compare.js';
import type { CompareOptions, CompareResult } from './compare/options.js';
import { convert as convertImages } from './convert/convert.js';
import type { ConvertOptions, ConvertResult } from './convert/options.js';
import type { ImageInfo, ImageInfoOptions } from './info/image-info.js';
import { imageInfo as describeImage } from './info/info.js';
import { mapImage as mapRanges } from './map/map-image.js';
import type { MapOptions, MapRange } from './map/options.js';
import { measure as measureImage } from './measure/measure.js';
import type { Measurement, MeasureOptions } from './measure/options.js';

export type { CheckTotals, Finding } from './check/findings.js';
export type { CheckOptions, CheckResult } from './check/options.js';
export type { ChecksumOptions, ChecksumResult } from './checksum/options.js';
export type { CompareOptions, CompareResult, Verdict } from './compare/options.js';
export type { CompressionType } from './compression-type.js';
export { type Survey, surveyEngines } from './convert/engine-survey.js';
export type { ConvertOptions, ConvertResult, VerifiedFrom } from './convert/options.js';
export type { EngineName } from './engines/codec.js';
export { type ErrorCode, type ErrorFacts, Qcow2cError } from './errors.js';
export type { ClusterCounts, Examination, StreamTotals } from './examine/examine-image.js';
export type { Image, ImageFormat, ImageReference, StreamReference } from './image/image-reference.js';
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
export type { StreamTarget } from './storage/stream-name.js';
export { closeWorkers } from './workers/idle-threads.js';
export type { Side } from './workers/messages/comparison.js';
export type { Progress } from './workers/progress.js';
export type { UnreadableRange } from './workers/unreadable-range.js';

/**
 * Converts disk images to a qcow2 image or a raw disk.
 * @throws Qcow2cError. The target is then unchanged and no other file is left behind, with one exception: if the
 *   directory could not be synced, the image is in place, and a power failure may undo its renaming.
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  return convertImages(takeOptions('convert', options));
}

/**
 * Checks an image, and repairs it if `repair` is given.
 * @returns undefined for a format that has no checks (raw)
 * @throws Qcow2cError
 */
export async function check(options: CheckOptions): Promise<CheckResult | undefined> {
  return checkImage(takeOptions('check', options));
}

/**
 * Computes the digest of a virtual disk.
 * @throws Qcow2cError
 */
export async function checksum(options: ChecksumOptions): Promise<ChecksumResult> {
  return digestImage(takeOptions('checksum', options));
}

/**
 * Compares the virtual disks of two images.
 * @returns the verdict, also if a range cannot be read: then everything before it is identical
 * @throws Qcow2cError when an image cannot be opened, or changes meanwhile
 */
export async function compare(options: CompareOptions): Promise<CompareResult> {
  return compareImages(takeOptions('compare', options));
}

/**
 * Describes an image.
 * @returns the image; with `backingChain` also its backing file, the backing file of that, and so on
 * @throws Qcow2cError
 */
export async function imageInfo(options: ImageInfoOptions): Promise<ImageInfo[]> {
  return describeImage(takeOptions('imageInfo', options));
}

/**
 * Lists the ranges of a virtual disk and where each is stored. The image is closed when the generator ends, also early.
 * @returns yields at least one range; one of length 0 if there is nothing in `startOffset` and `maxLength`
 * @throws Qcow2cError, from the first `next()` for wrong options too
 */
export function mapImage(options: MapOptions): AsyncGenerator<MapRange, void, undefined> {
  let taken: MapOptions;
  try {
    // Now, because relative names belong to the present working directory.
    taken = takeOptions('mapImage', options);
  } catch (error) {
    return failing(error);
  }
  return mapRanges(taken);
}

// biome-ignore lint/correctness/useYield: it fails before it yields
async function* failing(error: unknown): AsyncGenerator<never, void, undefined> {
  throw error;
}

/**
 * Computes how large an image would become, without writing it.
 * @throws Qcow2cError
 */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  return measureImage(takeOptions('measure', options));
}
