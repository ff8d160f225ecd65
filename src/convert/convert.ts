/**
 * The conversion: opens the sources and the target, plans and runs the work, and finishes the target. Never prints,
 * never exits and installs no signal handler. Any number of conversions can run in one process.
 */
import { roundUp } from '../arithmetic.js';
import { Qcow2cError } from '../errors.js';
import { storableName } from '../image/protocol.js';
import { SECTOR_SIZE } from '../sector.js';
import { openTarget } from '../storage/open-target.js';
import { TemporaryFiles } from '../storage/temporary-files.js';
import { DiskDigest } from '../workers/block-digests.js';
import { BUILT_WORKER } from '../workers/built-worker.js';
import { closeWorkers } from '../workers/idle-threads.js';
import { OwnThread } from '../workers/own-thread.js';
import { ITEM_BYTES } from '../workers/plan.js';
import { WorkerPool } from '../workers/pool.js';
import type { Progress } from '../workers/progress.js';
import { endPromptly } from '../workers/prompt-abort.js';
import { ChangedClusters } from './changed-clusters.js';
import { ConversionProgress } from './conversion-progress.js';
import { FileDigest } from './file-digest.js';
import { openImages } from './image-input.js';
import type { Input } from './input.js';
import { type OpenedOutput, type OutputParts, openOutput } from './open-output.js';
import type { ConvertOptions, ConvertResult, NamedTargetOptions } from './options.js';
import type { ConversionTask, OnceResult, OutputResult } from './output.js';
import { type ConvertOnce, convertToStream } from './stream-conversion.js';
import { openStreamInput } from './stream-input.js';
import { openStreamTarget } from './stream-target.js';
import { openBacking, type TargetBacking } from './target-backing.js';
import { proveTarget, type TakenDigests, type TargetProofs } from './target-proofs.js';
import { UnreadableLog } from './unreadable-log.js';
import { validate } from './validate.js';

/** The parts of a conversion that measuring and tests replace. */
export interface ConversionParts extends OutputParts {
  readonly workerEntry: URL;
  /** Whether no thread is started for a disk of one item. Default: false. */
  readonly ownThread?: boolean | undefined;
  /** Whether the threads end while the target is renamed, because the process ends afterwards. Default: false. */
  readonly endsThreads?: boolean | undefined;
}

/** Warnings that a result keeps. */
const MOST_WARNINGS = 1000;

const BUILT_PARTS: ConversionParts = { workerEntry: BUILT_WORKER, ownThread: true, openTarget };

/**
 * Converts disk images to a qcow2 image or a raw disk.
 * @throws Qcow2cError. The target is then as it was before, and no other file is left behind, unless the directory
 *   could not be synced: then the image is in place, and a power failure may undo its renaming. After the signal the call
 *   rejects even if a system call does not return; threads and descriptors that the call holds are released when it
 *   does (docs/reliability.md, "Calls that do not return")
 */
export async function convert(options: ConvertOptions): Promise<ConvertResult> {
  return convertWith(options, BUILT_PARTS);
}

/** `convert` for a process that ends with it: it keeps no threads for another conversion. */
export async function convertLast(options: ConvertOptions): Promise<ConvertResult> {
  return convertWith(options, { ...BUILT_PARTS, endsThreads: true });
}

/** `convert` with its replaceable parts. */
export async function convertWith(asked: ConvertOptions, parts: ConversionParts): Promise<ConvertResult> {
  const options = { ...asked, create: withStorableNames(asked.create) };
  validate(options);
  const temporaryFiles = new TemporaryFiles();
  const open: typeof openTarget = (path, mode, inPlace, remedy) =>
    parts.openTarget(path, mode, inPlace, remedy, temporaryFiles);
  const work = () => run(options, { ...parts, openTarget: open });
  return endPromptly(options.signal, work, () => temporaryFiles.abandon());
}

/** Every part that is opened closes itself at the end. */
async function run(given: ConvertOptions, parts: ConversionParts): Promise<ConvertResult> {
  const startTime = performance.now();
  const warnings: string[] = [];
  const onWarning = (message: string) => {
    if (warnings.length < MOST_WARNINGS) warnings.push(message);
    given.onWarning?.(message);
  };
  const options = { ...given, onWarning };
  await using stream = await openStreamTarget(options);
  // A backing file's name begins at the working directory where the target has no directory.
  const target = stream === undefined && typeof options.target === 'string' ? options.target : '';
  const named: NamedTargetOptions = { ...options, target };
  await using input = (await openStreamInput(options)) ?? (await openImages(options));
  await using backing = await openBacking(named, input);
  const once: ConvertOnce = (changes, ownParts) =>
    convertOnce(
      { ...named, rateLimit: undefined, sha256: undefined, ...changes, target },
      { ...parts, ...ownParts },
      input,
      backing,
    );
  const readFiles = [...input.images.flatMap(({ files }) => files), ...(backing?.files ?? [])];
  const { dataBytes, ...result } =
    stream === undefined
      ? await convertOnce(named, parts, input, backing)
      : await convertToStream(stream, options, input, readFiles, once);
  const seconds = Math.round(performance.now() - startTime) / 1000;
  return {
    ...result,
    sources: sourcesOf(input),
    target: { name: stream?.name ?? target, format: options.targetFormat ?? 'qcow2' },
    seconds,
    bytesPerSecond: Math.round(dataBytes / Math.max(seconds, 1e-3)),
    warnings,
  };
}

/** Makes the target once. It is discarded unless it was committed. */
async function convertOnce(
  options: NamedTargetOptions,
  parts: ConversionParts,
  input: Input,
  backing: TargetBacking | undefined,
): Promise<OnceResult> {
  await using opened = await openOutput(options, parts, input, backing);
  const { output, budget } = opened;
  const changed = changedClusters(input, backing, output.clusterSize);
  const refuseChanges = async () => {
    await input.refuseChanges();
    await backing?.opened?.source.refuseChanges();
  };
  const progress = new ConversionProgress(options);
  const unreadable = new UnreadableLog(options.onUnreadable);
  let filled: FilledOutput;
  let proofs: TargetProofs;
  try {
    filled = await fillOutput(opened, options, parts, { input, backing, changed }, unreadable, progress);
    await refuseChanges();
    await output.finish(filled.diskSize);
    proofs = await proveTarget(options, {
      ...{ output, input, changed, budget, refuseChanges, taken: filled },
      ...{ progress, workerEntry: parts.workerEntry },
    });
  } catch (error) {
    // An image that changed while it was read may look damaged.
    if (error instanceof Qcow2cError && error.code === 'ERR_CORRUPT') await refuseChanges();
    throw error;
  }
  await Promise.all([output.commit(), parts.endsThreads ? closeWorkers() : undefined]);
  const result = output.result();
  warnOfCorrections(result, options);
  return {
    ...result,
    threads: filled.threads,
    threadsRefused: filled.threadsRefused,
    unreadableBytes: unreadable.bytes,
    settledMs: input.settledMs + (backing?.opened?.settledMs ?? 0),
    ...proofs,
    dataBytes: filled.dataBytes,
  };
}

function changedClusters(
  { images: [image] }: Input,
  backing: TargetBacking | undefined,
  clusterSize: number,
): ReadDisks['changed'] {
  if (image?.changes === undefined || backing === undefined) return undefined;
  return new ChangedClusters(image.changes, image.source, backing.source, clusterSize);
}

interface FilledOutput extends TakenDigests, Pick<ConvertResult, 'threads' | 'threadsRefused'> {
  /** Guest bytes of the items. */
  readonly dataBytes: number;
}

/** The phases after the conversion itself, as far as they are known before. */
function laterPhases({ verify, digest, sha256 }: ConvertOptions, isInOrder: boolean, digests: boolean) {
  return [
    ...(digest && !digests ? (['digest'] as const) : []),
    ...(sha256 && !isInOrder ? (['sha256'] as const) : []),
    ...(verify ? (['verify'] as const) : []),
  ];
}

function sourcesOf({ images, name }: Input): ConvertResult['sources'] {
  if (images.length === 0) return [{ name, format: 'raw' }];
  return images.map(({ source, layers: [{ format }] }) => ({ name: source.name, format }));
}

/** The disks that a conversion reads. */
interface ReadDisks {
  readonly input: Input;
  readonly backing: TargetBacking | undefined;
  /** The clusters to store, if a bitmap lists them. */
  readonly changed: ChangedClusters | undefined;
}

/** Runs the items of the input through a worker pool into the output. */
async function fillOutput(
  { output, budget: { threads, slots }, oldDisk }: OpenedOutput,
  options: NamedTargetOptions,
  { workerEntry, ownThread }: Pick<ConversionParts, 'workerEntry' | 'ownThread'>,
  { input, backing, changed }: ReadDisks,
  unreadable: UnreadableLog,
  progress: ConversionProgress,
): Promise<FilledOutput> {
  const { signal, salvage = false, engine, compareWithBacking, sha256: asksForSha256 = false } = options;
  const digests = options.digest === true && changed === undefined;
  const read = [input, backing?.opened, oldDisk].filter((image) => image !== undefined);
  const setup = {
    ...output.setup,
    itemSize: ITEM_BYTES,
    inflate: [...new Set(read.flatMap(({ compressionTypes }) => [...compressionTypes]))],
    inflateWithNode: engine === 'node',
    salvage,
    digests,
    readAlignment: Math.max(...read.map(({ readAlignment }) => readAlignment)),
  };
  const fileOf = (fd: number) => input.fileOf(fd) ?? backing?.source.fileOf(fd) ?? oldDisk?.source.fileOf(fd);
  const isOneItem = input.size !== undefined && input.size <= ITEM_BYTES;
  await using pool = new WorkerPool<ConversionTask>({
    workerEntry,
    threads,
    slots,
    setup,
    fileOf,
    arrivals: input.arrives,
    ownThread: ownThread && isOneItem ? OwnThread.takeFor(setup) : undefined,
  });
  const itemSettings = {
    itemSize: ITEM_BYTES,
    keepZeros: setup.keepZeros,
    clusterSize: output.clusterSize,
    backing: backing?.source,
    changed,
    compareWithBacking,
    room: output.room === undefined ? undefined : { bytes: output.room, target: options.target },
    readsAll: digests,
    signal,
    onUnreadable: salvage ? unreadable.expect.bind(unreadable) : undefined,
  };
  const items = () => input.items(itemSettings, pool);
  let dataBytes = 0;
  const settings = {
    slots,
    guestBytes: input.likelySize,
    signal,
    work: progress.weigh({
      storing: {
        compressor: undefined,
        passthrough: false,
        ...output.setup,
        clusterSize: output.clusterSize,
      },
      later: laterPhases(options, output.isInOrder, digests),
      ...{ digests, threads, size: input.likelySize },
      // The main plan reports what cannot be read.
      items: input.arrives
        ? undefined
        : input.items(
            {
              ...itemSettings,
              changed: changed?.forAnotherWalk(),
              onUnreadable: salvage ? () => {} : undefined,
            },
            pool,
          ),
    }),
    onProgress: (reported: Progress) => {
      ({ dataBytes } = reported);
      progress.convert(reported);
    },
  };
  const digest = digests ? new DiskDigest(signal) : undefined;
  const sha256 = asksForSha256 && output.isInOrder ? new FileDigest(signal) : undefined;
  const end = await output.run(pool, items, { unreadable, digest, sha256 }, settings);
  unreadable.end();
  const diskSize = input.size ?? roundUp(end, SECTOR_SIZE);
  const { threads: count, threadsRefused } = pool;
  return {
    ...{ diskSize, dataBytes, digest, sha256 },
    threads: count,
    threadsRefused: threadsRefused?.message,
  };
}

function warnOfCorrections(result: OutputResult, { onWarning }: ConvertOptions): void {
  const { correctedClusters = 0, engine, compressionLevel } = result;
  if (correctedClusters === 0) return;
  const level = compressionLevel === undefined ? '' : ` at level ${compressionLevel}`;
  const what = `${engine} compressed ${correctedClusters} clusters wrongly${level}`;
  onWarning?.(`${what}; they were compressed again correctly; update ${engine} or choose another --engine`);
}

/** The names in a form that QEMU takes for names of files. */
function withStorableNames(create: ConvertOptions['create'] = {}): ConvertOptions['create'] {
  const { backingFile, dataFile } = create;
  return {
    ...create,
    backingFile: backingFile === undefined ? undefined : storableName(backingFile),
    dataFile: dataFile === undefined ? undefined : storableName(dataFile),
  };
}
