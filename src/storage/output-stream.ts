/**
 * The output of a conversion that is written from start to end, each byte once: a pipe, a socket, an open file, or a
 * Writable of Node.js. Waits for a slow reader, so nothing piles up here.
 */
import type { Hash } from 'node:crypto';
import { abortedError, ioError, type Qcow2cError, quoted } from '../errors.js';
import { onAbort } from '../system/abort-listeners.js';
import { crypto } from '../system/late-modules.js';
import { openSink } from './open-sink.js';
import type { Sink } from './output-sinks.js';
import type { RateLimit } from './rate-limit.js';
import type { StreamTarget } from './stream-name.js';

/** Bytes handed over at once, so that a rate limit is even and an abort is prompt. */
const PIECE_BYTES = 256 * 1024;

export class OutputStream implements AsyncDisposable {
  readonly name: string;
  /** undefined for a Writable. */
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
   * @param target a stream, or a name for which `isOutputStreamName` is true; a named pipe opens once it has a reader
   * @param signal makes every pending and later write fail with ERR_ABORTED
   * @throws Qcow2cError ERR_UNSUPPORTED for a terminal or a directory; ERR_USAGE for a Writable that cannot take bytes;
   *   ERR_IO; ERR_ABORTED
   */
  static async open(target: string | StreamTarget, signal: AbortSignal | undefined): Promise<OutputStream> {
    const { name, sink, descriptor } = await openSink(target, signal);
    return new OutputStream(name, sink, descriptor, signal);
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

  /** Bytes written so far: the position in the output. */
  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /** Pieces written so far. */
  get writeCalls(): number {
    return this.#writeCalls;
  }

  /** Computes the SHA-256 of all bytes. Call it before the first write. */
  takeDigest(): void {
    this.#hash = crypto().createHash('sha256');
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
    try {
      await this.#sink.end();
    } catch (error) {
      this.#fail(this.#ioError(error));
    }
    this.#stopListening?.();
    this.#throwIfFailed();
    this.#hasEnded = true;
    this.#digest = this.#hash?.digest('hex');
  }

  /** Abandons the output, unless it was ended. Never throws. */
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
