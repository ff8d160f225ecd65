/**
 * The output of a conversion that is written from start to end, each byte once: a pipe, a socket, an open file, or a
 * Writable of Node.js. Waits for a slow reader, so nothing piles up here.
 */
import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { stat } from 'node:fs/promises';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { isatty } from 'node:tty';
import { abortedError, ioError, Qcow2cError, quoted, usageError } from '../errors.js';
import { onAbort } from '../system/abort-listeners.js';
import { isForWriting, ownDescriptor, positionOf } from '../system/descriptor-facts.js';
import {
  FileSink,
  LAST_STANDARD,
  PipeSink,
  SharedPipeSink,
  type Sink,
  WritableSink,
} from './output-sinks.js';
import type { RateLimit } from './rate-limit.js';

/** Bytes handed over at once, so that a rate limit is even and an abort is prompt. */
const PIECE_BYTES = 256 * 1024;
/** Milliseconds between two attempts to open a named pipe that has no reader yet. */
const READER_WAIT = 50;

/** An output that is written from start to end. */
export interface StreamTarget {
  /**
   * An open file descriptor, such as 1 for standard output; it is closed afterwards, unless it is 0, 1 or 2. Or a
   * `Writable` of Node.js in byte mode. It is ended once the image is complete. After an error or an abort it is neither
   * ended nor destroyed: destroy it, so that its reader sees the failure.
   */
  readonly stream: number | Writable;
  /** The name for messages. Default: `stream`, or `file descriptor N`. */
  readonly name?: string | undefined;
}

/** The name of a stream, for messages. */
export function outputTitle({ stream, name }: StreamTarget): string {
  return name ?? (typeof stream === 'number' ? `file descriptor ${stream}` : 'stream');
}

/**
 * Reports whether a name is that of an output written from start to end: a named pipe, or one of this process's own
 * descriptors (/dev/stdout, /dev/fd/3), whatever is behind it. Opens nothing.
 * @throws Qcow2cError ERR_IO if that cannot be found out
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

export class OutputStream implements AsyncDisposable {
  readonly name: string;
  /** undefined: a Writable. */
  readonly descriptor: number | undefined;
  readonly #sink: Sink;
  readonly #stopListening: (() => void) | undefined;
  readonly #closing = new AbortController();
  #failure: { readonly error: unknown } | undefined;
  #limit: RateLimit | undefined;
  #zeros: Uint8Array | undefined;
  #hash: Hash | undefined;
  #digest: string | undefined;
  #writeCalls = 0;
  #writtenBytes = 0;
  #hasEnded = false;

  /**
   * @param target a stream, or a name that `isOutputStreamName`. A named pipe is opened once it has a reader.
   * @param signal makes every pending and later write fail with ERR_ABORTED
   * @throws Qcow2cError ERR_UNSUPPORTED for a terminal or a directory; ERR_USAGE for a Writable that cannot take bytes;
   *   ERR_IO; ERR_ABORTED
   */
  static async open(target: string | StreamTarget, signal: AbortSignal | undefined): Promise<OutputStream> {
    if (typeof target !== 'string') {
      const { stream } = target;
      const name = outputTitle(target);
      return typeof stream === 'number'
        ? new OutputStream(name, sinkOf(stream, name), stream, signal)
        : new OutputStream(name, writableSink(stream, name), undefined, signal);
    }
    const own = ownDescriptor(target);
    if (own !== undefined) return new OutputStream(target, sinkOf(own, target), own, signal);
    const pipe = await openPipe(target, signal);
    return new OutputStream(target, new PipeSink(pipe), pipe, signal);
  }

  private constructor(
    name: string,
    sink: Sink,
    descriptor: number | undefined,
    signal: AbortSignal | undefined,
  ) {
    this.name = name;
    this.descriptor = descriptor;
    this.#sink = sink;
    this.#stopListening = signal && onAbort(signal, () => this.#fail(abortedError(signal.reason)));
  }

  /** Bytes that were written so far: the place in the output. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** Pieces that were handed over so far. */
  get writeCalls(): number {
    return this.#writeCalls;
  }

  /** Computes the SHA-256 of all bytes. Call it before the first write. */
  takeDigest(): void {
    this.#hash = createHash('sha256');
  }

  /** The SHA-256 of all bytes in hexadecimal, after `end`; undefined: not asked for. */
  get digest(): string | undefined {
    return this.#digest;
  }

  /** Limits the rate of all later writes. */
  limitRate(limit: RateLimit): void {
    this.#limit = limit;
  }

  /**
   * Writes the next bytes. One call at a time.
   * @param bytes may be reused when this resolves
   * @throws Qcow2cError ERR_IO (`systemCode` is EPIPE once the reader is gone), ERR_ABORTED
   */
  async write(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      await this.#writePiece(bytes.subarray(at, at + PIECE_BYTES));
    }
  }

  /** Writes zeros. As `write`. @param length bytes */
  async writeZeros(length: number): Promise<void> {
    this.#zeros ??= new Uint8Array(PIECE_BYTES);
    for (let left = length; left > 0; left -= PIECE_BYTES) {
      await this.#writePiece(this.#zeros.subarray(0, Math.min(left, PIECE_BYTES)));
    }
  }

  /** Every byte of the output passes here, once and in order. */
  async #writePiece(piece: Uint8Array): Promise<void> {
    this.#throwIfFailed();
    await this.#limit?.admit(piece.length, this.#closing.signal);
    try {
      await this.#sink.write(piece);
    } catch (error) {
      this.#fail(this.#ioError(error));
    }
    this.#throwIfFailed();
    this.#hash?.update(piece);
    this.#writeCalls += 1;
    this.#writtenBytes += piece.length;
  }

  /** Tells the reader that the output is complete. @throws Qcow2cError ERR_IO, ERR_ABORTED */
  async end(): Promise<void> {
    this.#throwIfFailed();
    this.#hasEnded = true;
    this.#digest = this.#hash?.digest('hex');
    this.#stopListening?.();
    try {
      await this.#sink.end();
    } catch (error) {
      throw this.#ioError(error);
    }
  }

  /** Closes the output where it is, unless it was ended; never throws. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.#fail(abortedError(undefined));
    this.#stopListening?.();
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #fail(error: unknown): void {
    if (this.#failure !== undefined) return;
    this.#failure = { error };
    this.#closing.abort();
    this.#sink.abandon();
  }

  #ioError(error: unknown): Qcow2cError {
    const offset = this.#writtenBytes;
    const what = `Could not write to ${quoted(this.name)} after ${offset} bytes`;
    return ioError(what, error, { file: this.name, offset });
  }
}

/** Opens a named pipe for writing once it has a reader, without blocking signals meanwhile. */
async function openPipe(name: string, signal: AbortSignal | undefined): Promise<number> {
  for (;;) {
    if (signal?.aborted) throw abortedError(signal.reason);
    try {
      return fs.openSync(name, fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    } catch (error) {
      // ENXIO: nobody has it open for reading.
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
    // It belongs to another user, or nobody reads it, which the first write reports.
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

/** Why a stream takes no bytes. */
function problemOf(stream: Writable): string | undefined {
  if (stream.writableObjectMode) return 'it is in object mode and takes no bytes';
  if (stream.errored !== null) return `it has failed: ${stream.errored.message}`;
  if (stream.writableEnded) return 'it has ended';
  return stream.destroyed ? 'it is destroyed' : undefined;
}
