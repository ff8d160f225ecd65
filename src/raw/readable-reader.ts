/**
 * Reads a Readable of Node.js as a stream source, to its end. The stream stays paused, so it buffers no more than its
 * high-water mark. It belongs to the caller and is never destroyed here. Its listener for errors stays, so that a later
 * error does not end the process.
 */
import { finished, type Readable } from 'node:stream';
import { abortedError, quoted, usageError } from '../errors.js';

export class ReadableReader {
  readonly #stream: Readable;
  #received = 0;
  /** The part of the last chunk that was not requested. */
  #rest: Uint8Array = new Uint8Array(0);
  #ended = false;
  #failure: { readonly error: unknown } | undefined;
  /** Ends the wait of a pending `fill`. */
  #wake = () => {};

  /**
   * @param name for messages
   * @throws Qcow2cError ERR_USAGE for a stream whose first bytes are lost, or that does not yield bytes
   */
  constructor(stream: Readable, name: string) {
    const problem = problemOf(stream);
    if (problem !== undefined)
      throw usageError(`${quoted(name)} cannot be a source: ${problem}`, { file: name });
    this.#stream = stream;
    stream.on('readable', () => this.#wake());
    // Reports a stream that closes before its end as an error, but not one that emits 'error' without an error.
    finished(stream, { writable: false }, (error) => {
      if (!error && stream.readableEnded) this.#ended = true;
      else this.#failure ??= { error: error ?? new Error('it failed without an error') };
      this.#wake();
    });
  }

  /** Bytes read so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * Fills `memory`. Only one call may be pending.
   * @returns bytes read; fewer than `memory` takes only at the end, then always 0
   * @throws the stream's error; Qcow2cError ERR_ABORTED once closed
   */
  async fill(memory: Uint8Array): Promise<number> {
    let filled = 0;
    while (filled < memory.length) {
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#rest.length === 0) this.#rest = this.#next();
      if (this.#rest.length === 0) {
        if (this.#ended) break;
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      const part = this.#rest.subarray(0, memory.length - filled);
      memory.set(part, filled);
      this.#rest = this.#rest.subarray(part.length);
      filled += part.length;
      this.#received += part.length;
    }
    return filled;
  }

  /** Makes a pending `fill` and every later one fail. */
  async close(): Promise<void> {
    this.#failure ??= { error: abortedError(undefined) };
    this.#wake();
  }

  /** @returns the next bytes; none if the stream has none now */
  #next(): Uint8Array {
    const chunk: unknown = this.#stream.read();
    if (chunk === null) return new Uint8Array(0);
    if (chunk instanceof Uint8Array) return chunk;
    throw new Error('it yields text: its encoding was set while it was read');
  }
}

/** @returns why the stream does not yield all bytes of a disk; undefined if it does */
function problemOf(stream: Readable): string | undefined {
  if (stream.readableObjectMode) return 'it is in object mode and yields no bytes';
  if (stream.readableEncoding !== null) return 'it has an encoding and yields text, not bytes';
  if (stream.errored !== null) return `it has failed: ${stream.errored.message}`;
  if (stream.readableDidRead || stream.readableEnded) return 'it has been read from before';
  if (stream.destroyed) return 'it is destroyed';
  return stream.readableFlowing === true ? 'it is being read from elsewhere' : undefined;
}
