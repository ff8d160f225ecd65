/** Detects targets that are streams, and refuses options that need a file. */
import { type Qcow2cError, quoted, usageError } from '../errors.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { isOutputStreamName, outputTitle, type StreamTarget } from '../storage/open-sink.js';
import { OutputStream } from '../storage/output-stream.js';
import type { ConvertOptions } from './options.js';
import { streamName } from './stream-reference.js';

/** The options that depend on the target. The target may still be unknown. */
type StreamOptions = Pick<
  ConvertOptions,
  'sources' | 'targetFormat' | 'create' | 'keepTarget' | 'spool' | 'verify' | 'digest' | 'bitmap'
> &
  Partial<Pick<ConvertOptions, 'target'>>;

/**
 * Opens the target if it is a stream. A named pipe is opened before the sources, so that its reader sees the end of a
 * conversion that fails.
 * @returns undefined for a file or a device
 * @throws Qcow2cError ERR_USAGE for options that a stream cannot have; as `OutputStream.open`
 */
export async function openStreamTarget(
  options: StreamOptions & Pick<ConvertOptions, 'target' | 'signal'>,
): Promise<OutputStream | undefined> {
  const { target, spool, sources, targetFormat } = options;
  if (typeof target === 'string' && (isNbdName(target) || !(await isOutputStreamName(target)))) {
    if (spool !== undefined) throw spoolForFile();
    return undefined;
  }
  refuseForStreamTarget(target, options);
  if (targetFormat !== 'raw' && spool === undefined) {
    for (const source of sources) {
      const name = await streamName(source);
      if (name !== undefined) throw readOnce(name);
    }
  }
  return OutputStream.open(target, options.signal);
}

/** @throws Qcow2cError ERR_USAGE */
export function refuseForStreamTarget(target: string | StreamTarget, options: StreamOptions): void {
  const { create = {}, keepTarget, verify, digest, bitmap, spool, targetFormat } = options;
  const file = typeof target === 'string' ? target : outputTitle(target);
  const refuse = (what: string, instead: string) =>
    usageError(`${quoted(file)} is a stream, which ${what}: ${instead}`, { file });
  if (keepTarget) throw refuse('holds no image to write into', '-n is for files and devices');
  if (create.preallocation !== undefined && create.preallocation !== 'off') {
    throw refuse('has no space to preallocate', 'write to a file, or leave preallocation out');
  }
  if (create.dataFile !== undefined) {
    throw refuse('is one file', 'write an image with an external data file to a file');
  }
  if (digest && bitmap !== undefined && spool === undefined) {
    // What a bitmap does not list is read only from the finished image.
    throw refuse('cannot be read back for a digest', "add --spool DIR, or use 'qcow2c checksum' later");
  }
  if (verify && (spool === undefined || targetFormat === 'raw')) {
    const instead =
      targetFormat === 'raw'
        ? 'compare what the reader has stored'
        : 'add --spool DIR, or compare what the reader has stored';
    throw refuse('cannot be read back', instead);
  }
}

/** The error of a spool directory for a target that is not a stream. */
function spoolForFile(): Qcow2cError {
  return usageError('--spool requires a stream as the target: a pipe, or - for standard output');
}

function readOnce(file: string): Qcow2cError {
  return usageError(
    `${quoted(file)} is a stream, which can be read only once, and an image for a stream is compressed twice: add ` +
      '--spool DIR (a directory with room for the image), write to a file, or use -O raw',
    { file },
  );
}
