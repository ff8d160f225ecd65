/**
 * Reads a pipe or socket to its end, for a stream as a source. The event loop waits for the bytes and no thread
 * does, so that reading can be given up at any moment. Never holds more than one buffer that nobody asked for, and at its
 * end what the pipe had left.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { abortedError } from '../errors.js';
import { ReadError, readFullySync } from '../system/read-fully.js';

/** What a pipe holds on Linux; larger pieces gained nothing measurable. */
const BUFFER_BYTES = 64 * 1024;

/** More than a pipe holds that its writers have left: 1 MiB, unless a privileged program has made it larger. */
const MOST_LEFT_BYTES = 64 * 2 ** 20;

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
    this.#takeLeft();
    this.#ended = true;
    const demand = this.#demand;
    if (demand === undefined) return;
    demand.filled += this.#takeRest(demand.memory.subarray(demand.filled));
    this.#meet(demand);
  };

  /**
   * Node.js takes a stream for ended when the other side is closed and a read came back short. A pipe can have more then
   * (one that keeps its writes apart gives one of them to each read), and a broken connection its error.
   */
  #takeLeft(): void {
    const parts = [this.#rest];
    let length = 0;
    for (let ended = false; !ended && length <= MOST_LEFT_BYTES; ) {
      const part = new Uint8Array(BUFFER_BYTES);
      let count: number;
      try {
        count = readFullySync(this.#descriptor, part, null);
        ended = count < part.length;
      } catch (error) {
        if (!(error instanceof ReadError)) throw error;
        count = error.done;
        ended = true;
        // EAGAIN: another writer has opened a named pipe, and has written nothing yet.
        if (error.cause.code !== 'EAGAIN') this.#onError(error.cause);
      }
      parts.push(part.subarray(0, count));
      length += count;
    }
    if (length > MOST_LEFT_BYTES) this.#onError(new Error('it goes on after its end'));
    if (length > 0) this.#rest = Buffer.concat(parts);
  }

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
