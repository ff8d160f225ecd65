/** Opens the target that the options ask for; everything that can be refused is refused before it is made. */
import type { CompressorChoice } from '../compress/codec.js';
import { chooseCompressor } from '../compress/engines.js';
import { usageError } from '../errors.js';
import { dataFilePath } from '../image/image-name.js';
import type { Crew } from '../pipeline/crew.js';
import { runPipeline } from '../pipeline/pipeline.js';
import { type ImageParameters, resolveCreateOptions } from '../qcow2/create-options.js';
import { RawWriter } from '../raw/raw-writer.js';
import type { Target } from '../storage/target.js';
import { bitmapsToCopy } from './bitmaps.js';
import { conversionCrew } from './conversion-crew.js';
import type { Input } from './input.js';
import { readKeptImage } from './kept-target.js';
import type { OpenedSources } from './open-sources.js';
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
  readonly crew: Crew;
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
  refuseSameFile(readFiles, options.target);
  const { targetFormat = 'qcow2', overwrite = options.targetFormat === undefined ? 'same format' : 'any' } =
    options;
  if (overwrite === 'same format') await refuseOtherContent(options.target, targetFormat);
  const read = backing?.opened === undefined ? images : [...images, backing.opened];
  if (options.targetFormat === 'raw') {
    const crew = conversionCrew(options, input, read, { geometry: undefined, compressor: undefined });
    return { output: await RawOutput.open(options, open, input.size), crew };
  }
  const { keepTarget = false } = options;
  const { parameters, virtualSize } = keepTarget
    ? await readKeptImage(options.target, input.size ?? 0)
    : { parameters: resolveCreateOptions(options.create ?? {}, input.size), virtualSize: input.size };
  if (options.compress) refuseWithCompression(parameters);
  const compressor = await chosenCompressor(options, parameters);
  const crew = conversionCrew(options, input, read, { geometry: parameters.geometry, compressor });
  const addBitmaps = await bitmapsToCopy(options, parameters, sources, virtualSize);
  const limit = rateLimitOf(options);
  const opened: Target[] = [];
  try {
    const dataFile = await openDataFile(parameters, virtualSize);
    const target = await openWith(open, options.target, keepTarget, options, limit);
    opened.push(target);
    // A device holds whatever it held before: clusters that nobody writes would show it. Its blocks are its own.
    const impossible = ['falloc', 'full', ...(dataFile === undefined ? ['metadata'] : [])];
    if (opened.some(({ kind }) => kind === 'device') && impossible.includes(parameters.preallocation)) {
      throw usageError(`Unsupported preallocation mode '${parameters.preallocation}' on a device`);
    }
    const parts = {
      parameters,
      virtualSize,
      compressor,
      target,
      cacheSize: crew.cache,
      dataFile,
      addBitmaps,
      runClusters,
    };
    return { output: await Qcow2Output.open(options, parts), crew };
  } catch (error) {
    for (const target of opened) await target.discard();
    throw error;
  }

  async function openDataFile(
    { dataFile }: ImageParameters,
    diskSize: number | undefined,
  ): Promise<Qcow2Parts['dataFile']> {
    if (dataFile === undefined) return undefined;
    const name = dataFilePath(dataFile.name, options.target);
    refuseSameFile([...readFiles, options.target], name);
    await refuseImageAsDataFile(name);
    const target = await openWith(open, name, false, options, limit, 'name another data file');
    opened.push(target);
    const { kind, existingSize, file } = target;
    const place = { kind, existingSize, isZero: false, signal: options.signal };
    return { target, writer: new RawWriter(file, diskSize, place) };
  }
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
  const { engine, compressionLevel: level, compressionWindowBits: windowBits } = options;
  return chooseCompressor({ type, engine, level, windowBits, clusterSize });
}
