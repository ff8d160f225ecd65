/**
 * Reads a pipe or socket to its end, for a stream as a source. The event loop waits for the bytes and no thread
 * does, so that reading can be given up at any moment. Never holds more than one buffer that nobody asked for.
 */
import { readSync } from 'node:fs';
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { abortedError } from '../errors.js';
import { MOST_IDLE_ATTEMPTS } from '../storage/passing-failure.js';

/** What a pipe holds on Linux; larger pieces gained nothing measurable. */
const BUFFER_BYTES = 64 * 1024;

/** Memory that is being filled. */
interface Demand {
  readonly memory: Uint8Array;
  filled: number;
  readonly resolve: (count: number) => void;
  readonly reject: (error: unknown) => void;
}

export class PipeReader {
  readonly #descriptor: number;
  readonly #socket: Socket;
  #received = 0;
  /** What came after the last demand was met: a part of the socket's buffer, which rests until it is resumed. */
  #rest: Uint8Array = new Uint8Array(0);
  #demand: Demand | undefined;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param descriptor closed at the end of the stream or with the reader, unless it is a standard one
   * @throws the system's error when the descriptor is neither a pipe nor a stream socket
   */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    // The types know `onread` as an option of connect() only.
    const options: SocketConstructorOpts & { onread: OnReadOpts } = {
      fd: descriptor,
      readable: true,
      writable: false,
      onread: { buffer: new Uint8Array(BUFFER_BYTES), callback: this.#onBytes },
    };
    this.#socket = new Socket(options);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('error', this.#onError);
  }

  /** Bytes handed out so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * One at a time.
   * @returns how many bytes came; fewer than `memory` takes only at the end, then 0 for ever
   * @throws the system's error; Qcow2cError ERR_ABORTED once closed
   */
  async fill(memory: Uint8Array): Promise<number> {
    if (this.#failure !== undefined) throw this.#failure.error;
    const filled = this.#takeRest(memory);
    if (filled === memory.length || this.#ended) return filled;
    return new Promise((resolve, reject) => {
      this.#demand = { memory, filled, resolve, reject };
      this.#socket.resume();
    });
  }

  /** Makes a pending `fill` and every later one fail. */
  async close(): Promise<void> {
    this.#onError(abortedError(undefined));
    this.#socket.destroy();
  }

  /** Copies what came too early; returns how much that was. */
  #takeRest(memory: Uint8Array): number {
    const part = this.#rest.subarray(0, memory.length);
    memory.set(part);
    this.#rest = this.#rest.subarray(part.length);
    this.#received += part.length;
    return part.length;
  }

  /** @returns false for no more until the next demand */
  readonly #onBytes = (count: number, buffer: Uint8Array): boolean => {
    const bytes = buffer.subarray(0, count);
    const demand = this.#demand;
    if (demand === undefined) {
      this.#rest = bytes;
      return false;
    }
    const part = bytes.subarray(0, demand.memory.length - demand.filled);
    demand.memory.set(part, demand.filled);
    demand.filled += part.length;
    this.#received += part.length;
    if (demand.filled < demand.memory.length) return true;
    this.#rest = bytes.subarray(part.length);
    this.#meet(demand);
    return false;
  };

  readonly #onEnd = (): void => {
    if (this.#failure !== undefined) return;
    // Node.js takes a broken connection for ended when it learns of that together with the last bytes.
    for (let attempt = 0; ; attempt += 1) {
      try {
        readSync(this.#descriptor, new Uint8Array(1));
      } catch (error) {
        const { code } = error as NodeJS.ErrnoException;
        if (code === 'EINTR' && attempt < MOST_IDLE_ATTEMPTS) continue;
        // Another writer has opened a named pipe: that is no part of this stream.
        if (code !== 'EAGAIN') this.#onError(error);
      }
      break;
    }
    this.#ended = true;
    if (this.#demand !== undefined) this.#meet(this.#demand);
  };

  readonly #onError = (error: unknown): void => {
    this.#failure ??= { error };
    this.#demand?.reject(this.#failure.error);
    this.#demand = undefined;
  };

  #meet(demand: Demand): void {
    this.#demand = undefined;
    demand.resolve(demand.filled);
  }
}
