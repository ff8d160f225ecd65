/**
 * The conversion: the only place where concrete parts are put together. Never prints, never exits,
 * installs no signal handler; any number of conversions can run in one process.
 */
import { availableParallelism } from 'node:os';
import type { CompressorChoice } from '../compress/codec.js';
import { chooseCompressor } from '../compress/engines.js';
import { WorkerPool } from '../compress/pool.js';
import { Qcow2cError, usageError } from '../errors.js';
import { type ImageParameters, resolveCreateOptions } from '../qcow2/create-options.js';
import { allocationUnit, ImageWriter } from '../qcow2/image-writer.js';
import { alignedMemory, LARGEST_PIECE, roundUp } from '../storage/aligned-memory.js';
import { CompressedWriteCache } from '../storage/compressed-write-cache.js';
import { OverlapGuard } from '../storage/overlap-guard.js';
import { openTarget, type Target } from '../storage/target.js';
import { readKeptImage } from './kept-target.js';
import { type OpenedSources, openSources, refuseSameFile } from './open-sources.js';
import type { ConvertOptions, ConvertResult } from './options.js';
import { refuseAbort, runPipeline } from './pipeline.js';
import { ITEM_BYTES } from './plan.js';

/**
 * Default bytes of the compressed write cache: what two merged writes in flight hold, and as much again
 * to be filled meanwhile. At least four allocation units.
 */
const CACHE_BYTES = 8 * 1024 * 1024;

/** Items in flight for each worker: one being packed and one waiting, so that no worker is ever idle. */
const ITEMS_PER_WORKER = 2;
/** Items in flight besides: finished ones that wait for their turn. */
const SPARE_ITEMS = 2;
/** As many as have room for their items in one piece of memory. */
const MOST_THREADS = Math.floor((LARGEST_PIECE / ITEM_BYTES - SPARE_ITEMS) / ITEMS_PER_WORKER);

/** Parts that tests replace. */
export interface ConversionParts {
  readonly workerEntry: URL;
  readonly openTarget: typeof openTarget;
}

const BUILT_PARTS: ConversionParts = {
  // The build puts every file of the library beside the worker's entry.
  workerEntry: new URL('./worker.js', import.meta.url),
  openTarget,
};

/**
 * Converts disk images to a qcow2 image.
 * @throws Qcow2cError; the target is then as it was before, and nothing else is left behind (but for a failed
 *   sync of the directory: then the image has its name, and may lose it in a power failure)
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  return convertWith(options, BUILT_PARTS);
}

/** `convert` with its replaceable parts. */
export async function convertWith(options: ConvertOptions, parts: ConversionParts): Promise<ConvertResult> {
  refuseUnsupported(options);
  const { signal } = options;
  if (signal?.aborted) throw new Qcow2cError('ERR_ABORTED', 'The conversion was ended before it began');
  const sources = await openSources(options.sources, options.sourceFormat, isDirect(options.sourceCache));
  try {
    refuseSameFile(options.sources, options.target);
    return await convertOpened(options, parts, sources);
  } finally {
    await sources.source.close();
  }
}

async function convertOpened(
  options: ConvertOptions,
  parts: ConversionParts,
  { source, readAlignment }: OpenedSources,
): Promise<ConvertResult> {
  const { parameters, virtualSize } = options.keepTarget
    ? readKeptImage(options.target, source.size)
    : { parameters: resolveCreateOptions(options.create ?? {}, source.size), virtualSize: source.size };
  const { clusterSize } = parameters.geometry;
  const compressor = await chosenCompressor(options, parameters);
  const itemSize = ITEM_BYTES;
  const threads = Math.min(
    options.threads ?? availableParallelism(),
    Math.max(1, Math.ceil(source.size / itemSize)),
  );
  const slots = threads * ITEMS_PER_WORKER + SPARE_ITEMS;
  const keepZeros = options.sparseSize === 0;
  const unit = allocationUnit(clusterSize);
  const cacheSize = options.compressedCacheSize ?? Math.max(CACHE_BYTES, 4 * unit);
  if (cacheSize !== 0 && !(cacheSize >= unit && cacheSize <= LARGEST_PIECE)) {
    throw usageError(
      `The compressed write cache takes ${unit} to ${LARGEST_PIECE} bytes for this cluster size, or 0`,
      { found: cacheSize },
    );
  }

  const target = await parts.openTarget(
    options.target,
    options.targetCache ?? 'none',
    options.keepTarget === true,
  );
  let length: number;
  let writer: ImageWriter;
  try {
    // Everything goes behind what is kept, so that an old image stays whole until its header is replaced.
    const firstFree = Math.max(unit, roundUp(target.keptBytes, unit));
    const guard = new OverlapGuard(target.file, firstFree);
    // A device may hold an old image: without its header nobody takes a half-written one for whole.
    if (target.kind === 'device') await guard.writeHeader([alignedMemory(unit).subarray(0, unit)]);
    const cache = CompressedWriteCache.create(guard, unit, cacheSize);
    writer = new ImageWriter(parameters, virtualSize, guard, cache, firstFree);
    const setup = { clusterSize, itemSize, compressor, keepZeros, readAlignment };
    const pool = new WorkerPool(parts.workerEntry, threads, slots, setup, (fd) => source.fileOf(fd));
    try {
      const { onProgress, signal } = options;
      const settings = { clusterSize, itemSize, slots, keepZeros, onProgress, signal };
      await runPipeline({ source, pool, writer }, settings);
    } finally {
      await pool.close();
    }
    await source.refuseChanges();
    length = await writer.finish(target.kind !== 'new');
    cache.free();
    // The last moment: from here on the image gets its name. A kept one has its new header already.
    if (target.kind === 'new') refuseAbort(options.signal);
  } catch (error) {
    await target.discard();
    throw error;
  }
  await target.commit(length);
  return {
    virtualSize,
    fileSize: length,
    clusterSize,
    ...writer.counts,
    engine: compressor?.engine,
    compressionLevel: compressor?.level,
    tableLevel: compressor?.tableLevel,
    threads,
    ...targetFacts(target),
  };
}

function targetFacts({ file }: Target) {
  return {
    targetCache: file.cacheMode,
    directRefused: file.directRefused,
    writeCalls: file.writeCalls,
    writtenBytes: file.writtenBytes,
  };
}

/** @throws Qcow2cError for what the library's types allow but this version does not do */
function refuseUnsupported(options: ConvertOptions): void {
  if (options.targetFormat === 'raw') {
    throw options.compress
      ? usageError('Compression not supported for this file format')
      : new Qcow2cError('ERR_UNSUPPORTED', 'Raw output is not supported yet; use -O qcow2');
  }
  const { threads } = options;
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS)) {
    throw usageError(`The number of threads must be 1 to ${MOST_THREADS}, not ${threads}`, {
      found: threads,
    });
  }
}

async function chosenCompressor(
  options: ConvertOptions,
  { compressionType: type, geometry: { clusterSize } }: ImageParameters,
): Promise<CompressorChoice | undefined> {
  if (!options.compress) return undefined;
  const { engine, compressionLevel: level, compressionWindowBits: windowBits } = options;
  return chooseCompressor({ type, engine, level, windowBits, clusterSize });
}

function isDirect(mode: ConvertOptions['sourceCache']): boolean {
  return mode === 'none' || mode === 'directsync';
}
