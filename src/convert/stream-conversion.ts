/**
 * A conversion to a stream. A raw disk is written as it is read. The places in a qcow2 image depend on the compressed
 * sizes of everything before them, so an image is made twice: the first pass keeps its layout only, the second writes it
 * from start to end. With a spool directory it is made once, in a file.
 */
import { resolveCreateOptions } from '../qcow2/create-options.js';
import { allocationUnit } from '../qcow2/image-body.js';
import { AscendingFile } from '../storage/ascending-file.js';
import { forwardTarget } from '../storage/forward-file.js';
import { ImageLayout, LayoutFile, layoutMemory } from '../storage/image-layout.js';
import { OrderedFile, orderedMemory } from '../storage/ordered-file.js';
import type { OutputStream } from '../storage/output-stream.js';
import { RateLimit } from '../storage/rate-limit.js';
import { SpoolFile } from '../storage/spool-file.js';
import type { Target } from '../storage/target.js';
import { descriptorPath } from '../system/descriptor-facts.js';
import type { Progress } from '../workers/progress.js';
import type { Input } from './input.js';
import type { ConvertOptions } from './options.js';
import type { OnceResult } from './output.js';
import { refuseSameFile } from './same-file.js';

/** Makes the image once. @param changes options that differ @param parts replace those of the conversion */
export type ConvertOnce = (
  changes: Partial<ConvertOptions>,
  parts: { readonly openTarget: () => Promise<Target>; readonly callerBytes?: number },
) => Promise<OnceResult>;

type StreamOptions = Pick<
  ConvertOptions,
  | 'targetFormat'
  | 'create'
  | 'spool'
  | 'targetCache'
  | 'compressedCacheSize'
  | 'rateLimit'
  | 'sha256'
  | 'onProgress'
>;

/**
 * @param stream ended once everything is written
 * @param readFiles every file that is read
 * @throws Qcow2cError ERR_SOURCE_CHANGED also when the two passes differ
 */
export async function convertToStream(
  stream: OutputStream,
  options: StreamOptions,
  input: Input,
  readFiles: readonly string[],
  convertOnce: ConvertOnce,
): Promise<OnceResult> {
  const { targetFormat, spool, rateLimit, sha256 } = options;
  if (stream.descriptor !== undefined) {
    await refuseSameFile(readFiles, descriptorPath(stream.descriptor), stream.name);
  }
  if (rateLimit !== undefined) stream.limitRate(new RateLimit(rateLimit));
  if (sha256) stream.takeDigest();
  if (targetFormat === 'raw') {
    const parts = { openTarget: async () => forwardTarget(new AscendingFile(stream), 'stream') };
    return { ...(await convertOnce({}, parts)), sha256: stream.digest };
  }
  const result = await (spool === undefined
    ? convertTwice(stream, options, input, convertOnce)
    : convertToSpool(stream, spool, options, convertOnce));
  const { writeCalls, writtenBytes } = stream;
  return { ...result, writeCalls, writtenBytes, sha256: stream.digest };
}

async function convertTwice(
  stream: OutputStream,
  { create = {}, compressedCacheSize, onProgress }: StreamOptions,
  input: Input,
  convertOnce: ConvertOnce,
): Promise<OnceResult> {
  const { geometry } = resolveCreateOptions(create, input.size);
  const unit = allocationUnit(geometry.clusterSize);
  // Without a cache, payloads are written as they are.
  const alignment = compressedCacheSize === 0 ? 1 : unit;
  // Both passes take as long.
  const inPhase = (phase: 'layout' | 'write'): ConvertOptions['onProgress'] =>
    onProgress && ((progress) => onProgress(inPart(progress, phase, phase === 'layout' ? 0 : 1 / 2, 1 / 2)));
  await using layout = new ImageLayout();
  const clusters = Math.ceil((input.size ?? 0) / geometry.clusterSize);
  const callerBytes =
    layoutMemory(clusters * geometry.l2EntryBytes) + Math.min(orderedMemory(unit), input.size ?? 0);
  await convertOnce(
    { digest: false, onProgress: inPhase('layout') },
    {
      callerBytes,
      openTarget: async () => forwardTarget(new LayoutFile(layout, stream.name, alignment), 'null'),
    },
  );
  // The first pass has given every warning.
  const silent = { onWarning: undefined, onUnreadable: undefined };
  const sizes = { alignment, unit };
  return await convertOnce(
    { ...silent, onProgress: inPhase('write') },
    {
      callerBytes,
      openTarget: async () => forwardTarget(new OrderedFile(layout, stream, input.name, sizes), 'stream'),
    },
  );
}

/** The part of the time that a finished image takes to its reader. */
const SENDING = 0.15;

/** A phase's progress as a part of the whole. */
function inPart(
  { share, ...progress }: Progress,
  phase: Progress['phase'],
  from: number,
  part: number,
): Progress {
  return { ...progress, phase, ...(share !== undefined && { share: from + share * part }) };
}

async function convertToSpool(
  stream: OutputStream,
  directory: string,
  { targetCache = 'unsafe', onProgress }: StreamOptions,
  convertOnce: ConvertOnce,
): Promise<OnceResult> {
  await using spool = await SpoolFile.open(directory);
  let last: Progress = { guestBytesDone: 0, guestBytes: 0, dataBytes: 0, storedBytes: 0 };
  const converting: ConvertOptions['onProgress'] = (progress) => {
    last = progress;
    onProgress?.(inPart(progress, 'convert', 0, 1 - SENDING));
  };
  const result = await convertOnce(
    { targetCache, onProgress: onProgress && converting },
    { openTarget: () => spool.target(targetCache) },
  );
  const { fileSize, virtualSize } = result;
  await spool.sendTo(stream, fileSize, (sent) => {
    const guestBytesDone = Math.floor((sent / fileSize) * virtualSize);
    const figures = { ...last, guestBytesDone, guestBytes: virtualSize, share: sent / fileSize };
    onProgress?.(inPart(figures, 'write', 1 - SENDING, SENDING));
  });
  return result;
}
