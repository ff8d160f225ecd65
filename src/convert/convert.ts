/**
 * The conversion: the only place where concrete parts are put together. Never prints, never exits,
 * installs no signal handler; any number of conversions can run in one process.
 */
import { roundUp } from '../arithmetic.js';
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { storableName } from '../image/protocol.js';
import type { Source } from '../image/source.js';
import { type CreateOptions, noBackingFormat } from '../qcow2/create-options.js';
import { SECTOR_SIZE } from '../sector.js';
import { TemporaryFiles } from '../storage/temporary-files.js';
import { onAbort } from '../system/abort-listeners.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { WorkerPool } from '../workers/pool.js';
import { endPromptly } from '../workers/prompt-abort.js';
import type { UnreadableRange } from '../workers/unreadable-range.js';
import { ContentDigest } from './content-digest.js';
import { type Input, imageInput, streamInput } from './input.js';
import { type OpenedOutput, openOutput } from './open-output.js';
import { type OpenedSources, onlyImage, openSettings, openSources, openStream } from './open-sources.js';
import type { ConvertOptions, ConvertResult } from './options.js';
import type { OutputResult } from './output.js';
import { BUILT_PARTS, type ConversionParts } from './parts.js';
import { Phases } from './phases.js';
import { statedFormat } from './stream-reference.js';
import { openTargetBacking, type TargetBacking } from './target-backing.js';
import { UnreadableLog } from './unreadable-log.js';
import { validateConversion } from './validate.js';
import { type Expected, type VerifiedFrom, verifyTarget } from './verification.js';

type ExpectedContent = Omit<Expected, 'refuseChanges'>;

export type { ConversionParts } from './parts.js';

/**
 * Converts disk images to a qcow2 image or a raw disk.
 * @throws Qcow2cError; the target is then as it was before, and nothing else is left behind (but for a failed
 *   sync of the directory: then the image has its name, and may lose it in a power failure). After the signal also
 *   when a system call does not return: what the call keeps, such as threads and descriptors, is then given back when
 *   it does (docs/reliability.md, "Calls that do not return")
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  return convertWith(options, BUILT_PARTS);
}

/** `convert` with its replaceable parts. */
export async function convertWith(asked: ConvertOptions, parts: ConversionParts): Promise<ConvertResult> {
  const options = { ...asked, create: withStorableNames(asked.create) };
  validateConversion(options);
  const temporaryFiles = new TemporaryFiles();
  const openTarget: typeof parts.openTarget = (path, mode, inPlace, remedy) =>
    parts.openTarget(path, mode, inPlace, remedy, temporaryFiles);
  const work = () => convertSources(options, { ...parts, openTarget });
  return endPromptly(options.signal, work, () => temporaryFiles.abandon());
}

async function convertSources(options: ConvertOptions, parts: ConversionParts): Promise<ConvertResult> {
  const stream = await openStream(options);
  if (stream === undefined) return convertImages(options, parts);
  const stopListening = options.signal && onAbort(options.signal, () => void stream.close());
  try {
    const digest = options.verify ? new ContentDigest() : undefined;
    const { sourceFormat, create, minSize: least } = options;
    const trusted = options.sources.some((source) => statedFormat(source, sourceFormat) === 'raw');
    const input = await streamInput(stream, { expected: create?.size, least, trusted, digest });
    const expected = digest && { name: stream.name, content: digest };
    return await convertInput(options, parts, input, undefined, expected);
  } finally {
    stopListening?.();
    await stream.close();
  }
}

async function convertImages(options: ConvertOptions, parts: ConversionParts): Promise<ConvertResult> {
  const sources = await openSources(options);
  try {
    refuseShortDisk(sources.source, options);
    const expected = options.verify ? { name: sources.source.name, content: sources } : undefined;
    return await convertInput(options, parts, imageInput(sources), sources, expected);
  } finally {
    await sources.source.close();
  }
}

/** @param sources undefined for a stream @param expected what the target is to be compared with, if at all */
async function convertInput(
  options: ConvertOptions,
  parts: ConversionParts,
  input: Input,
  sources: OpenedSources | undefined,
  expected: ExpectedContent | undefined,
): Promise<ConvertResult> {
  const backing = await openBacking(options, sources);
  try {
    return await convertOpened(options, parts, input, sources, backing, expected);
  } finally {
    await backing?.opened?.source.close();
  }
}

async function convertOpened(
  options: ConvertOptions,
  parts: ConversionParts,
  input: Input,
  sources: OpenedSources | undefined,
  backing: TargetBacking | undefined,
  expected: ExpectedContent | undefined,
): Promise<ConvertResult> {
  const opened = await openOutput(options, parts, input, sources, backing);
  try {
    const result = await convertInto(opened, options, parts, input, backing, expected);
    return { ...result, settledMs: (sources?.settledMs ?? 0) + (backing?.opened?.settledMs ?? 0) };
  } finally {
    await opened.oldDisk?.source.close();
  }
}

async function convertInto(
  { output, budget, oldDisk }: OpenedOutput,
  options: ConvertOptions,
  parts: ConversionParts,
  input: Input,
  backing: TargetBacking | undefined,
  expected: ExpectedContent | undefined,
): Promise<Omit<ConvertResult, 'settledMs'>> {
  const { signal, salvage = false } = options;
  const phases = new Phases(options.onProgress, expected !== undefined);
  const { onProgress } = phases;
  const { slots } = budget;
  let workers: Pick<WorkerPool, 'threads' | 'threadsRefused'>;
  let unreadable: UnreadableLog;
  let verifiedFrom: VerifiedFrom | undefined;
  const refuseChanges = async () => {
    await input.refuseChanges();
    await backing?.opened?.source.refuseChanges();
  };
  try {
    const others = [backing?.opened, oldDisk].filter((image) => image !== undefined);
    const readAlignment = Math.max(input.readAlignment, ...others.map((image) => image.readAlignment));
    const inflate = [...new Set([input, ...others].flatMap(({ compressionTypes }) => [...compressionTypes]))];
    const inflateWithNode = options.engine === 'node';
    const setup = {
      ...output.setup,
      itemSize: ITEM_BYTES,
      inflate,
      inflateWithNode,
      salvage,
      readAlignment,
    };
    const fileOf = (fd: number) =>
      input.fileOf(fd) ?? backing?.source.fileOf(fd) ?? oldDisk?.source.fileOf(fd);
    const pool = new WorkerPool(parts.workerEntry, budget.threads, slots, setup, fileOf, input.arrives);
    workers = pool;
    unreadable = new UnreadableLog(options.onUnreadable);
    let diskSize: number;
    try {
      const { keepZeros, clusterSize } = setup;
      const itemSettings = {
        itemSize: ITEM_BYTES,
        keepZeros,
        clusterSize,
        backing: backing?.source,
        room: output.room,
        signal,
        onUnreadable: salvage ? (stretch: UnreadableRange) => unreadable.expect(stretch) : undefined,
      };
      const items = () => input.items(itemSettings, pool);
      const settings = { slots, guestBytes: input.likelySize, onProgress, signal };
      const end = await output.run(pool, items, unreadable, settings);
      diskSize = input.size ?? roundUp(end, SECTOR_SIZE);
    } finally {
      await pool.close();
    }
    unreadable.end();
    await refuseChanges();
    await output.finish(diskSize);
    if (expected !== undefined) {
      const verification = {
        ...{ name: options.target, salvage, budget, signal, inflateWithNode: options.engine === 'node' },
        ...{ workerEntry: parts.workerEntry, onProgress: phases.onVerification },
      };
      verifiedFrom = await verifyTarget(await output.seal(), { ...expected, refuseChanges }, verification);
      await refuseChanges();
    }
  } catch (error) {
    await output.discard();
    // What looks broken may only have changed under the reader.
    if (error instanceof Qcow2cError && error.code === 'ERR_CORRUPT') await refuseChanges();
    throw error;
  }
  await output.commit();
  const { threads, threadsRefused } = workers;
  const result = output.result();
  warnOfCorrections(result, options);
  return {
    ...result,
    threads,
    threadsRefused: threadsRefused?.message,
    unreadableBytes: unreadable.bytes,
    verifiedFrom,
  };
}

function refuseShortDisk({ name: file, size }: Source, { minSize = 0 }: ConvertOptions): void {
  if (size >= minSize) return;
  const message = `${quoted(file)} has ${size} bytes: at least ${minSize} were expected (--min-size)`;
  throw usageError(message, { file, expected: minSize, found: size });
}

function warnOfCorrections(result: OutputResult, { onWarning }: ConvertOptions): void {
  const { correctedClusters = 0, engine, compressionLevel } = result;
  if (correctedClusters === 0) return;
  const what = `${engine} compressed ${correctedClusters} clusters wrongly at level ${compressionLevel}`;
  onWarning?.(`${what}; they were compressed anew, and the image is right. Update it, or use another engine`);
}

/** The backing file that the target is to have. */
async function openBacking(
  options: ConvertOptions,
  sources: OpenedSources | undefined,
): Promise<TargetBacking | undefined> {
  const { create = {}, target, keepTarget, forceShare } = options;
  const { backingFile: file, backingFormat: format } = create;
  if (file === undefined || keepTarget) return undefined;
  if (format === undefined) throw noBackingFormat();
  const image = sources && onlyImage(sources);
  return openTargetBacking({ file, format, forceShare }, target, image, openSettings(options));
}

/** Names that QEMU, too, will read as names of files. */
function withStorableNames(create: ConvertOptions['create'] = {}): CreateOptions {
  const { backingFile, dataFile } = create;
  return {
    ...create,
    backingFile: backingFile === undefined ? undefined : storableName(backingFile),
    dataFile: dataFile === undefined ? undefined : storableName(dataFile),
  };
}
