/**
 * Computes the size that an image would have: from its block status, as qemu-img does, or by compressing it without
 * writing. The library's entry; never prints. The rules are those of img_measure in qemu-img.c, qcow2_measure in
 * block/qcow2.c and raw_measure in block/raw-format.c.
 */

import { roundUp } from '../arithmetic.js';
import type { ConversionParts } from '../convert/convert.js';
import { isStream, streamName } from '../convert/stream-reference.js';
import { Qcow2cError, quoted } from '../errors.js';
import { type ImageReference, imageReference } from '../image/image-reference.js';
import { type OpenedImage, openImage } from '../image/open-image.js';
import { openImageFile } from '../image/open-image-file.js';
import { wantedByCaller } from '../image/referenced-files.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { type ImageParameters, resolveCreateOptions } from '../qcow2/create-options.js';
import { clusterSizeOf } from '../qcow2/geometry.js';
import { SECTOR_SIZE } from '../sector.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import { endPromptly } from '../workers/prompt-abort.js';
import { dataClusterBytes } from './allocated-data.js';
import { bitmapsSize } from './bitmaps-size.js';
import { fullyAllocatedSize, refuseLargeSize } from './image-size.js';
import { isRaw, type Measurement, type MeasureOptions, validateMeasurement } from './options.js';

/**
 * Computes the size of an image before it is created.
 * @throws Qcow2cError ERR_USAGE, ERR_LIMIT for a disk larger than the format allows, ERR_ABORTED, and the errors of
 *   opening and reading the source
 */
export async function measure(options: MeasureOptions): Promise<Measurement> {
  return measureWith(options, { workerEntry: BUILT_WORKER });
}

/** Parts replaced by tests. */
interface MeasureParts extends Pick<ConversionParts, 'workerEntry'> {
  /** Selects another sample. */
  readonly seed?: number | undefined;
}

/** `measure` with its replaceable parts. */
export async function measureWith(options: MeasureOptions, parts: MeasureParts): Promise<Measurement> {
  validateMeasurement(options);
  return endPromptly(options.signal, () => measureSource(options, parts));
}

async function measureSource(options: MeasureOptions, parts: MeasureParts): Promise<Measurement> {
  const { source, snapshot, isolated = false } = options;
  const parameters = isRaw(options) ? undefined : parametersOf(options);
  if (source === undefined) return withoutContent(options, parameters);
  const stream = await streamName(source);
  if (stream !== undefined) refuseStream(stream, options);
  if (isStream(source) || stream !== undefined) {
    return { ...(await compressed(options, parts, 1)), bitmaps: undefined };
  }
  const reference = imageReference(source, options.sourceFormat);
  if (options.compress) {
    const { bitmaps, clusterSize } = await readStart(reference, options);
    return { ...(await compressed(options, parts, clusterSize)), bitmaps };
  }
  await using image = await openImage(reference, snapshot, {
    direct: false,
    isolated,
    onWarning: options.onWarning,
    nbd: options.nbd,
  });
  const diskSize = image.source.size;
  if (parameters === undefined) return uncompressed(undefined, diskSize, 0);
  const data = await dataBytes(image, parameters, options);
  const bitmaps = await bitmapsSize(image.layers[0].qcow2, parameters, options.onWarning);
  return { ...uncompressed(parameters, diskSize, data), bitmaps };
}

/**
 * @param parameters undefined for a raw disk
 * @param diskSize bytes, a multiple of 512
 * @param data bytes of the clusters to store
 */
function uncompressed(parameters: ImageParameters | undefined, diskSize: number, data: number): Measurement {
  const rest = { bitmaps: undefined, compressed: false, estimate: undefined };
  if (parameters === undefined) return { required: diskSize, fullyAllocated: diskSize, ...rest };
  const { geometry } = parameters;
  const fullyAllocated = fullyAllocatedSize(geometry, diskSize);
  // As in QEMU, tables are counted as if every cluster were allocated.
  const required = fullyAllocated - roundUp(diskSize, geometry.clusterSize) + data;
  return { required, fullyAllocated, ...rest };
}

async function compressed(
  options: MeasureOptions,
  { workerEntry, seed }: MeasureParts,
  sourceClusterSize: number,
): Promise<Omit<Measurement, 'bitmaps'>> {
  // Loaded on demand: other measurements start faster.
  const { compressedSize } = await import('./compressed-size.js');
  const found = await compressedSize(options, { workerEntry }, sourceClusterSize, seed);
  const { fileSize: required, virtualSize, estimate } = found;
  const fullyAllocated = fullyAllocatedSize(parametersOf(options).geometry, virtualSize);
  return { required, fullyAllocated, compressed: true, estimate };
}

function withoutContent(
  { size = 0, create }: MeasureOptions,
  parameters: ImageParameters | undefined,
): Measurement {
  const diskSize = roundUp(size, SECTOR_SIZE);
  if (parameters === undefined) return uncompressed(undefined, diskSize, 0);
  const { clusterSize } = parameters.geometry;
  return uncompressed(parameters, diskSize, isFull(create) ? roundUp(diskSize, clusterSize) : 0);
}

/** Bytes of the new image's clusters to store, according to the source's tables. */
async function dataBytes(
  image: OpenedImage,
  { geometry: { clusterSize } }: ImageParameters,
  { create, signal }: MeasureOptions,
): Promise<number> {
  // As in QEMU, data shared between source and backing file is not searched for.
  if (isFull(create) || create?.backingFile !== undefined) return roundUp(image.source.size, clusterSize);
  return dataClusterBytes(image, clusterSize, signal);
}

/** Whether all clusters are preallocated. */
function isFull({ preallocation }: MeasureOptions['create'] = {}): boolean {
  return preallocation === 'falloc' || preallocation === 'full';
}

/** Facts from the source's header: the size of its bitmaps, and its cluster size if it has one. */
async function readStart(
  reference: ImageReference,
  options: MeasureOptions,
): Promise<{ readonly bitmaps: number | undefined; readonly clusterSize: number }> {
  const { file, qcow2 } = await openImageFile(
    wantedByCaller(reference, isNbdName(reference.file) ? 'raw' : undefined),
    { direct: false, nbd: options.nbd },
  );
  try {
    const bitmaps = await bitmapsSize(qcow2, parametersOf(options), options.onWarning);
    return { bitmaps, clusterSize: qcow2 === undefined ? 1 : clusterSizeOf(qcow2.header) };
  } finally {
    await file.close();
  }
}

/**
 * The parameters of the new image's size. As in QEMU, other options are ignored without compression.
 * @throws Qcow2cError ERR_USAGE; ERR_LIMIT for a disk that needs a larger L1 table than QEMU opens
 */
function parametersOf({ create = {}, size = create.size ?? 0 }: MeasureOptions): ImageParameters {
  const { clusterSize, compat, refcountBits, extendedL2 } = create;
  const parameters = resolveCreateOptions({ clusterSize, compat, refcountBits, extendedL2 }, undefined);
  refuseLargeSize(parameters.geometry, size);
  return parameters;
}

/** @throws Qcow2cError ERR_UNSUPPORTED for options that need a source that can be read twice */
function refuseStream(file: string, { compress = false, sample }: MeasureOptions): void {
  const refuse = (why: string) =>
    new Qcow2cError('ERR_UNSUPPORTED', `${quoted(file)} is a stream, ${why}; save it to a file first`, {
      file,
    });
  if (!compress) throw refuse('which can only be measured with compression (-c)');
  if (sample !== undefined) throw refuse('which cannot be sampled: it is read once');
}
