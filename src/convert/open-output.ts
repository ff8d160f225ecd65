/** Opens the target that the options ask for; everything that can be refused is refused before it is made. */
import type { CompressorChoice } from '../engines/codec.js';
import { chooseCompressor } from '../engines/engine-choice.js';
import { usageError } from '../errors.js';
import { dataFilePath } from '../image/image-name.js';
import { type OpenedImage, openImage } from '../image/open-image.js';
import { type ImageParameters, resolveCreateOptions } from '../qcow2/create-options.js';
import { RawWriter } from '../raw/raw-writer.js';
import type { Target } from '../storage/target.js';
import { runPipeline } from '../workers/pipeline.js';
import type { WorkerBudget } from '../workers/worker-budget.js';
import { bitmapsToCopy } from './bitmaps.js';
import { conversionBudget } from './conversion-budget.js';
import { DiskRest } from './disk-rest.js';
import { bitmapsOf, keptBitmaps } from './existing-bitmaps.js';
import { type ExistingImage, readExistingImage } from './existing-image.js';
import { contentOf, refuseNewInPlace } from './in-place-target.js';
import type { Input } from './input.js';
import { type OpenedSources, openSettings } from './open-sources.js';
import type { ConvertOptions } from './options.js';
import { type Output, openWith, type RunClusters, rateLimitOf } from './output.js';
import { refuseImageAsDataFile, refuseOtherContent } from './overwriting.js';
import type { ConversionParts } from './parts.js';
import { Qcow2Output, type Qcow2Parts } from './qcow2-output.js';
import { RawOutput } from './raw-output.js';
import { refuseSameFile } from './same-file.js';
import type { TargetBacking } from './target-backing.js';

/** A target that is open, and who is to work on it. */
export interface OpenedOutput {
  readonly output: Output;
  readonly budget: WorkerBudget;
  /** The disk of an existing image as it was, where some of it fills up the source's last cluster. */
  readonly oldDisk: OpenedImage | undefined;
}

/**
 * @param sources undefined for a stream
 * @param backing the target's backing file, if it is opened
 * @throws Qcow2cError; nothing is left behind then
 */
export async function openOutput(
  options: ConvertOptions,
  { openTarget: open, runClusters = runAllClusters }: ConversionParts,
  input: Input,
  sources: OpenedSources | undefined,
  backing: TargetBacking | undefined,
): Promise<OpenedOutput> {
  const images = sources?.images ?? [];
  const readFiles = [...images.flatMap(({ files }) => files), ...(backing?.files ?? [])];
  await refuseSameFile(readFiles, options.target);
  const { targetFormat = 'qcow2', overwrite = options.targetFormat === undefined ? 'same format' : 'any' } =
    options;
  const { keepTarget = false, signal } = options;
  // What -n writes into is looked at under the lock for writing.
  if (overwrite === 'same format' && !(keepTarget && targetFormat === 'qcow2')) {
    await refuseOtherContent(options.target, targetFormat);
  }
  const read = backing?.opened === undefined ? images : [...images, backing.opened];
  if (options.targetFormat === 'raw') {
    const budget = conversionBudget(options, input, read, { geometry: undefined, compressor: undefined });
    return { output: await RawOutput.open(options, open, input.size), budget, oldDisk: undefined };
  }
  const limit = rateLimitOf(options);
  const opened: Target[] = [];
  let oldDisk: OpenedImage | undefined;
  try {
    const inPlace = keepTarget ? await openInPlace() : undefined;
    const { existing } = inPlace ?? {};
    const virtualSize = existing?.virtualSize ?? input.size;
    const parameters = existing?.parameters ?? resolveCreateOptions(options.create ?? {}, input.size);
    if (options.compress) refuseWithCompression(parameters);
    const compressor = await chosenCompressor(options, parameters);
    const { geometry } = parameters;
    const budget = conversionBudget(options, input, read, { geometry, compressor, existing });
    const kept = existing === undefined ? [] : await bitmapsOf(existing);
    const names = kept.map(({ name }) => name);
    const copied = await bitmapsToCopy(options, parameters, sources, virtualSize, names);
    const dataFile = await openDataFile(parameters, virtualSize);
    const target = inPlace?.target ?? (await openWith(open, options.target, false, options, limit));
    if (inPlace === undefined) opened.push(target);
    // A device holds whatever it held before: clusters that nobody writes would show it. Its blocks are its own.
    const impossible = ['falloc', 'full', ...(dataFile === undefined ? ['metadata'] : [])];
    if (opened.some(({ kind }) => kind === 'device') && impossible.includes(parameters.preallocation)) {
      throw usageError(`Unsupported preallocation mode '${parameters.preallocation}' on a device`);
    }
    if (existing !== undefined) oldDisk = await openOldDisk(existing, geometry.clusterSize);
    const parts: Qcow2Parts = {
      parameters,
      virtualSize,
      compressor,
      target,
      cacheSize: budget.cache,
      dataFile,
      bitmaps: {
        clusters: copied.clusters,
        of: (end) => [
          ...(existing === undefined ? [] : keptBitmaps(existing, kept, end)),
          ...copied.contents,
        ],
      },
      sourceSize: input.size,
      existing,
      rest: oldDisk && new DiskRest(oldDisk.source, geometry.clusterSize, input.size),
      keptBytes: inPlace?.keptBytes ?? 0,
      runClusters,
    };
    return { output: await Qcow2Output.open(options, parts), budget, oldDisk };
  } catch (error) {
    await oldDisk?.source.close();
    for (const target of opened) await target.discard();
    throw error;
  }

  /** Opens and locks the target before anything of it is looked at: until then a guest may write to it. */
  async function openInPlace(): Promise<InPlace> {
    const target = await openWith(open, options.target, true, options, limit);
    opened.push(target);
    const content = await contentOf(target);
    if (content === 'image') {
      refuseCreation(options.create);
      return { target, existing: await readExistingImage(target, input.size ?? 0, signal), keptBytes: 0 };
    }
    refuseNewInPlace(target.file, content, options, overwrite);
    return { target, existing: undefined, keptBytes: content === 'nothing' ? 0 : target.existingSize };
  }

  /** What lies behind a source that ends inside a cluster. */
  async function openOldDisk(
    { virtualSize }: ExistingImage,
    clusterSize: number,
  ): Promise<OpenedImage | undefined> {
    const { size } = input;
    const endsInside = size === undefined || (size < virtualSize && size % clusterSize !== 0);
    if (!endsInside) return undefined;
    // Its lock for writing is this conversion's own.
    const reference = { file: options.target, format: 'qcow2', forceShare: true } as const;
    return openImage(reference, undefined, { ...openSettings(options), direct: false });
  }

  async function openDataFile(
    { dataFile }: ImageParameters,
    diskSize: number | undefined,
  ): Promise<Qcow2Parts['dataFile']> {
    if (dataFile === undefined) return undefined;
    const name = dataFilePath(dataFile.name, options.target);
    await refuseSameFile([...readFiles, options.target], name);
    await refuseImageAsDataFile(name);
    const target = await openWith(open, name, false, options, limit, 'name another data file');
    opened.push(target);
    const { kind, existingSize, file } = target;
    const place = { kind, existingSize, isZero: false, signal: options.signal };
    return { target, writer: new RawWriter(file, diskSize, place) };
  }
}

/** A target that is there already, open and locked. */
interface InPlace {
  readonly target: Target;
  /** undefined: it holds no qcow2 image. */
  readonly existing: ExistingImage | undefined;
  /** Bytes at its start that stay as they are until the new header. */
  readonly keptBytes: number;
}

/** An image that is there has its own options. What it says of its backing file counts, as in qemu-img. */
function refuseCreation({
  backingFile: _,
  backingFormat: __,
  size: ___,
  ...create
}: ConvertOptions['create'] = {}): void {
  if (Object.values(create).every((value) => value === undefined)) return;
  throw usageError('-o has no effect when skipping image creation');
}

const runAllClusters: RunClusters = (parts, items, _, settings) =>
  runPipeline({ ...parts, next: items() }, settings);

/** @throws Qcow2cError ERR_USAGE in qemu-img's words */
function refuseWithCompression({ preallocation, dataFile }: ImageParameters): void {
  const clash = dataFile !== undefined ? 'data_file' : preallocation !== 'off' ? 'preallocation' : undefined;
  if (clash !== undefined) throw usageError(`Compression and ${clash} not supported at the same time`);
}

async function chosenCompressor(
  options: ConvertOptions,
  { compressionType: type, geometry: { clusterSize } }: ImageParameters,
): Promise<CompressorChoice | undefined> {
  if (!options.compress) return undefined;
  const { engine, compressionLevel: level, compressionWindowBits: windowBits, checkPayloads } = options;
  return chooseCompressor({ type, engine, level, windowBits, clusterSize, checkPayloads });
}
