/** Opens the output of a conversion. Every refusal that needs no target comes before the target is made. */
import type { CompressorChoice } from '../engines/codec.js';
import { chooseCompressor } from '../engines/engine-choice.js';
import { quoted, usageError } from '../errors.js';
import { dataFilePath } from '../image/image-name.js';
import { type OpenedImage, openImage } from '../image/open-image.js';
import { type ImageParameters, resolveCreateOptions } from '../qcow2/create-options.js';
import { RawWriter } from '../raw/raw-writer.js';
import type { openTarget } from '../storage/open-target.js';
import type { WorkerBudget } from '../workers/worker-budget.js';
import { bitmapsToCopy } from './bitmaps.js';
import { conversionBudget } from './conversion-budget.js';
import { DiskRest } from './disk-rest.js';
import { bitmapsOf, existingBitmaps } from './existing-bitmaps.js';
import { type ExistingImage, readExistingImage } from './existing-image.js';
import { openSettings } from './image-input.js';
import type { Input } from './input.js';
import type { ConvertOptions, NamedTargetOptions } from './options.js';
import type { Output, RunClusters } from './output.js';
import { TargetOpener } from './output-target.js';
import { Qcow2Output, type Qcow2Parts } from './qcow2-output.js';
import { RawOutput } from './raw-output.js';
import type { TargetBacking } from './target-backing.js';
import { notPreallocated } from './validate.js';

/** Disposal closes the output, and discards it unless it was committed. It never throws. */
export interface OpenedOutput extends AsyncDisposable {
  readonly output: Output;
  readonly budget: WorkerBudget;
  /** The disk of an existing image before the conversion, if a part of it fills the last cluster of the source. */
  readonly oldDisk: OpenedImage | undefined;
}

/** The parts of opening an output that measuring and tests replace. */
export interface OutputParts {
  readonly openTarget: typeof openTarget;
  /** Bytes that the caller holds; default: 0. */
  readonly callerBytes?: number | undefined;
  /** Replaces `runPipeline` for a qcow2 image. */
  readonly runClusters?: RunClusters | undefined;
}

/**
 * @param backing the opened backing file of the target; undefined: the target has none
 * @throws Qcow2cError; the target is discarded then
 */
export async function openOutput(
  options: NamedTargetOptions,
  parts: OutputParts,
  input: Input,
  backing: TargetBacking | undefined,
): Promise<OpenedOutput> {
  const readFiles = [...input.images.flatMap(({ files }) => files), ...(backing?.files ?? [])];
  const opener = new TargetOpener(options, parts.openTarget, readFiles);
  await opener.refuse();
  const read = backing?.opened === undefined ? input.images : [...input.images, backing.opened];
  let oldDisk: OpenedImage | undefined;
  try {
    if (options.targetFormat === 'raw') {
      const budget = conversionBudget(options, input, read, { geometry: undefined, compressor: undefined });
      const output = await RawOutput.open(options, await opener.open(), input);
      return { output, budget, oldDisk, [Symbol.asyncDispose]: () => output[Symbol.asyncDispose]() };
    }
    const inPlace = options.keepTarget ? await opener.open() : undefined;
    const existing =
      inPlace?.holds === 'image'
        ? await readExistingImage(inPlace.target, input.size ?? 0, options.signal)
        : undefined;
    const virtualSize = existing?.virtualSize ?? input.size;
    if (options.bitmap !== undefined && virtualSize !== input.size) {
      throw usageError(
        `the disk in ${quoted(options.target)} has ${virtualSize} bytes: with --bitmap it must have the ${input.size} ` +
          "of the source; resize it with 'qemu-img resize'",
        { file: options.target, expected: input.size, found: virtualSize },
      );
    }
    const parameters = existing?.parameters ?? resolveCreateOptions(options.create ?? {}, input.size);
    const compressor = await chosenCompressor(options, parameters);
    const { geometry } = parameters;
    const planned = { geometry, compressor, existing, callerBytes: parts.callerBytes };
    const budget = conversionBudget(options, input, read, planned);
    const kept = existing === undefined ? [] : await bitmapsOf(existing);
    const names = kept.map(({ name }) => name);
    const copied = await bitmapsToCopy(options, parameters, input.images, virtualSize, names);
    const dataFile = await openDataFile(opener, options, parameters, virtualSize);
    const { target, kind, holds, existingSize } = inPlace ?? (await opener.open());
    refuseOnDevice(parameters, [kind, dataFile?.target.kind]);
    if (existing !== undefined && endsInsideCluster(input.size, existing)) {
      oldDisk = await openOldDisk(options, opener.writtenExport);
    } else if (options.verify && existing?.backing !== undefined) {
      // The verification reads the backing file. If it cannot, the image is not written.
      await (await openOldDisk(options, opener.writtenExport)).source.close();
    }
    const output = await Qcow2Output.open(options, {
      parameters,
      virtualSize,
      compressor,
      target,
      cacheSize: budget.cache,
      dataFile,
      bitmaps: {
        clusters: copied.clusters,
        of: (end) => [
          ...(existing === undefined ? [] : existingBitmaps(existing, kept, end)),
          ...copied.contents,
        ],
      },
      sourceSize: input.size,
      existing,
      rest: oldDisk && new DiskRest(oldDisk.source, geometry.clusterSize, input.size),
      keptBytes: holds === 'data' ? existingSize : 0,
      runClusters: parts.runClusters,
    });
    const dispose = async () => {
      await output[Symbol.asyncDispose]();
      await oldDisk?.source.close();
    };
    return { output, budget, oldDisk, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await oldDisk?.source.close();
    await opener.discard();
    throw error;
  }
}

/** Whether a source smaller than the disk of the image ends inside a cluster. @param size undefined: a stream */
function endsInsideCluster(size: number | undefined, { virtualSize, parameters }: ExistingImage): boolean {
  return size === undefined || (size < virtualSize && size % parameters.geometry.clusterSize !== 0);
}

function openOldDisk(
  options: NamedTargetOptions,
  written: TargetOpener['writtenExport'],
): Promise<OpenedImage> {
  // The lock for writing on the target is held by this conversion.
  const reference = { file: options.target, format: 'qcow2', forceShare: true } as const;
  return openImage(reference, undefined, { ...openSettings(options), direct: false, written });
}

async function openDataFile(
  opener: TargetOpener,
  { target: image, signal }: NamedTargetOptions,
  { dataFile }: ImageParameters,
  diskSize: number | undefined,
): Promise<Qcow2Parts['dataFile']> {
  if (dataFile === undefined) return undefined;
  const target = await opener.openDataFile(dataFilePath(dataFile.name, image));
  const { kind, existingSize, file } = target;
  return { target, writer: new RawWriter(file, diskSize, { kind, existingSize, isZero: false, signal }) };
}

/**
 * Refuses preallocation on a device: its blocks cannot be allocated, and clusters that are not written would show its
 * old content.
 */
function refuseOnDevice({ preallocation, dataFile }: ImageParameters, kinds: readonly unknown[]): void {
  const impossible = ['falloc', 'full', ...(dataFile === undefined ? ['metadata'] : [])];
  if (kinds.includes('device') && impossible.includes(preallocation)) {
    throw notPreallocated(preallocation);
  }
}

async function chosenCompressor(
  options: ConvertOptions,
  { compressionType: type, geometry: { clusterSize } }: ImageParameters,
): Promise<CompressorChoice | undefined> {
  if (!options.compress) return undefined;
  const { engine, compressionLevel: level, compressionWindowBits: windowBits, checkPayloads } = options;
  return chooseCompressor({ type, engine, level, windowBits, clusterSize, checkPayloads });
}
