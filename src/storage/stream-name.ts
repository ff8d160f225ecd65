/**
 * The names of streams, in messages and as targets. Kept apart from `output-stream.ts`, which most runs do not load.
 */
import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { ioError, quoted } from '../errors.js';
import { ownDescriptor } from '../system/descriptor-facts.js';

/** An output that is written from start to end. */
export interface StreamTarget {
  /**
   * An open file descriptor, such as 1 for standard output; it is closed after writing, unless it is 0, 1 or 2. A call
   * that is refused leaves it open. Or a `Writable` of Node.js in byte mode. It is ended once the image is complete.
   * After an error or an abort it is neither ended nor destroyed: destroy it, so that its reader sees the failure.
   */
  readonly stream: number | Writable;
  /** The name for messages. Default: `stream`, or `file descriptor N`. */
  readonly name?: string | undefined;
}

/** The name of a stream that is read or written, for messages. */
export function streamTitle({
  stream,
  name,
}: {
  readonly stream: unknown;
  readonly name?: string | undefined;
}): string {
  return name ?? (typeof stream === 'number' ? `file descriptor ${stream}` : 'stream');
}

/**
 * Whether a name is that of an output written from start to end: a named pipe, or a descriptor of this process
 * (/dev/stdout, /dev/fd/3) for any kind of file. Opens nothing.
 * @throws Qcow2cError ERR_IO if the name cannot be examined
 */
export async function isOutputStreamName(name: string): Promise<boolean> {
  if (ownDescriptor(name) !== undefined) return true;
  try {
    return (await stat(name)).isFIFO();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw ioError(`Could not open ${quoted(name)}`, error, { file: name });
  }
}
