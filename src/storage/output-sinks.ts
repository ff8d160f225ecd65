/** The kinds of outputs that are written from start to end. Used by the output stream. */
import * as fs from 'node:fs';
import { Socket } from 'node:net';
import { finished, type Writable } from 'node:stream';
import { promisify } from 'node:util';
import { descriptorPath } from '../system/descriptor-facts.js';
import { writeFully } from '../system/write-fully.js';

const close = promisify(fs.close);

/** Standard error. Descriptors up to this one belong to the process and stay open. */
export const LAST_STANDARD = 2;

export interface Sink {
  /** Resolves once the bytes are taken and may be reused. @throws the system's error, or that of `abandon` */
  write(bytes: Uint8Array): Promise<void>;
  /** Tells the reader that all bytes were written. */
  end(): Promise<void>;
  /** Ends every pending write with an error, even one that waits for its reader. Never throws. */
  abandon(): void;
}

/** A pipe or socket. The event loop waits for the reader, so no thread is blocked and a write can be abandoned. */
export class PipeSink implements Sink {
  readonly #socket: Socket;

  /** @param descriptor of a pipe or socket, which must not block */
  constructor(descriptor: number) {
    this.#socket = new Socket({ fd: descriptor, readable: false, writable: true });
    // Each write reports its own error.
    this.#socket.on('error', () => {});
  }

  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }

  end(): Promise<void> {
    return new Promise((resolve, reject) => {
      finished(this.#socket, { readable: false }, (error) => (error ? reject(error) : resolve()));
      this.#socket.end();
    });
  }

  abandon(): void {
    this.#socket.destroy();
  }
}

/**
 * A pipe that is opened again for this process alone. The given descriptor may be shared with other processes, and
 * making it non-blocking would break their writes.
 */
export class SharedPipeSink extends PipeSink {
  readonly #shared: number;

  /** @param shared the descriptor that was given @throws the system's error when the pipe cannot be opened again */
  constructor(shared: number) {
    const { O_WRONLY, O_NONBLOCK } = fs.constants;
    super(fs.openSync(descriptorPath(shared), O_WRONLY | O_NONBLOCK));
    this.#shared = shared;
  }

  override async end(): Promise<void> {
    await super.end();
    await close(this.#shared);
  }

  override abandon(): void {
    super.abandon();
    void close(this.#shared).catch(() => {});
  }
}

/** A file or a device, written from the descriptor's own position on. */
export class FileSink implements Sink {
  readonly #descriptor: number;
  readonly #abandoned = new AbortController();
  #inFlight: Promise<void> = Promise.resolve();

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  write(bytes: Uint8Array): Promise<void> {
    const writing = writeFully(this.#descriptor, bytes, null, this.#abandoned.signal);
    this.#inFlight = writing.catch(() => {});
    return writing;
  }

  async end(): Promise<void> {
    if (this.#descriptor > LAST_STANDARD) await close(this.#descriptor);
  }

  abandon(): void {
    this.#abandoned.abort();
    // If the descriptor is closed during a write, another file could get its number.
    void this.#inFlight.then(() => this.end()).catch(() => {});
  }
}

/** A Writable of Node.js. It belongs to the caller, and keeps its listener for errors. */
export class WritableSink implements Sink {
  readonly #stream: Writable;
  #failure: { readonly error: unknown } | undefined;
  /** Ends the wait of a pending write. */
  #wake = () => {};

  constructor(stream: Writable) {
    this.#stream = stream;
    finished(stream, { readable: false }, (error) => this.#noteEnd(error));
  }

  async write(bytes: Uint8Array): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (this.#failure !== undefined) return resolve();
      // The stream may keep the bytes, so it gets a copy.
      const goesOn = this.#stream.write(Uint8Array.from(bytes), (error) => {
        if (error) this.#fail(error);
        resolve();
      });
      // The stream's buffer has room, so the next write may begin.
      if (goesOn) resolve();
    });
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async end(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      finished(this.#stream, { readable: false }, (error) => {
        this.#noteEnd(error);
        resolve();
      });
      this.#stream.end();
    });
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  abandon(): void {
    this.#fail(new Error('the output was abandoned'));
  }

  /** @param error also for a stream that closes before its end, but none for one that emits 'error' without an error */
  #noteEnd(error: Error | null | undefined): void {
    if (error || !this.#stream.writableFinished) this.#fail(error ?? new Error('it failed without an error'));
  }

  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }
}
