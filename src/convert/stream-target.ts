/** Opens a target that is a stream. */
import { type Qcow2cError, quoted, usageError } from '../errors.js';
import { isNbdName } from '../nbd/nbd-name.js';
import { OutputStream } from '../storage/output-stream.js';
import { isOutputStreamName } from '../storage/stream-name.js';
import type { ConvertOptions } from './options.js';
import { streamName } from './stream-reference.js';
import { refuseForStreamTarget } from './validate.js';

/**
 * Opens the target if it is a stream. A named pipe is opened before the sources, so that its reader sees the end of a
 * conversion that fails.
 * @returns undefined for a file or a device
 * @throws Qcow2cError ERR_USAGE for options that a stream cannot have; as `OutputStream.open`
 */
export async function openStreamTarget(options: ConvertOptions): Promise<OutputStream | undefined> {
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
