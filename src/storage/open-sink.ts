/** Opens the sink for an output that is written from start to end. Used by the output stream. */
import * as fs from 'node:fs';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { abortedError, ioError, Qcow2cError, quoted, usageError } from '../errors.js';
import { isForWriting, ownDescriptor, positionOf } from '../system/descriptor-facts.js';
import {
  FileSink,
  LAST_STANDARD,
  PipeSink,
  SharedPipeSink,
  type Sink,
  WritableSink,
} from './output-sinks.js';
import { type StreamTarget, streamTitle } from './stream-name.js';

/** Milliseconds between two attempts to open a named pipe that has no reader yet. */
const READER_WAIT = 50;

/** Parameters and errors as for `OutputStream.open`. @returns descriptor: undefined for a Writable */
export async function openSink(
  target: string | StreamTarget,
  signal: AbortSignal | undefined,
): Promise<{ readonly name: string; readonly sink: Sink; readonly descriptor: number | undefined }> {
  if (typeof target !== 'string') {
    const { stream } = target;
    const name = streamTitle(target);
    if (typeof stream === 'number') return { name, sink: sinkOf(stream, name), descriptor: stream };
    return { name, sink: writableSink(stream, name), descriptor: undefined };
  }
  const own = ownDescriptor(target);
  if (own !== undefined) return { name: target, sink: sinkOf(own, target), descriptor: own };
  const descriptor = await openPipe(target, signal);
  return { name: target, sink: new PipeSink(descriptor), descriptor };
}

/** Opens a named pipe for writing once it has a reader, without blocking signals meanwhile. */
async function openPipe(name: string, signal: AbortSignal | undefined): Promise<number> {
  for (;;) {
    if (signal?.aborted) throw abortedError(signal.reason);
    try {
      return fs.openSync(name, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    } catch (error) {
      // ENXIO: it has no reader yet.
      if ((error as NodeJS.ErrnoException).code !== 'ENXIO') {
        throw ioError(`Could not open ${quoted(name)}`, error, { file: name });
      }
    }
    // If the signal ends the wait, the check above throws.
    await sleep(READER_WAIT, undefined, { signal }).catch(() => {});
  }
}

function sinkOf(descriptor: number, name: string): Sink {
  try {
    const stats = fs.fstatSync(descriptor);
    if (stats.isDirectory()) throw Object.assign(new Error('it is a directory'), { code: 'EISDIR' });
    if (isatty(descriptor)) throw terminal(name);
    // A wrong descriptor is refused now, not after the work.
    if (positionOf(descriptor) !== undefined && !isForWriting(descriptor)) {
      throw Object.assign(new Error('it is not open for writing'), { code: 'EBADF' });
    }
    if (stats.isFIFO()) return pipeSinkOf(descriptor);
    return stats.isSocket() ? new PipeSink(descriptor) : new FileSink(descriptor);
  } catch (error) {
    if (error instanceof Qcow2cError) throw error;
    throw ioError(`Could not write to ${quoted(name)}`, error, { file: name });
  }
}

function pipeSinkOf(descriptor: number): Sink {
  try {
    // Node.js makes its standard streams block again when it ends.
    if (descriptor > LAST_STANDARD) return new SharedPipeSink(descriptor);
    return new PipeSink(descriptor);
  } catch {
    // The pipe belongs to another user, or it has no reader. The first write reports a missing reader.
    return new PipeSink(descriptor);
  }
}

function terminal(name: string): Qcow2cError {
  return new Qcow2cError(
    'ERR_UNSUPPORTED',
    `Refusing to write an image to a terminal: pipe ${quoted(name)} into a program, or redirect it to a file`,
    { file: name, expected: 'a pipe, file or device', found: 'a terminal' },
  );
}

function writableSink(stream: Writable, name: string): Sink {
  const problem = problemOf(stream);
  if (problem === undefined) return new WritableSink(stream);
  throw usageError(`${quoted(name)} cannot be the target: ${problem}`, { file: name });
}

/** @returns why the stream takes no bytes; undefined if it takes them */
function problemOf(stream: Writable): string | undefined {
  if (stream.writableObjectMode) return 'it is in object mode and takes no bytes';
  if (stream.errored !== null) return `it has failed: ${stream.errored.message}`;
  if (stream.writableEnded) return 'it has ended';
  return stream.destroyed ? 'it is destroyed' : undefined;
}
