/**
 * Reads a pipe or socket as a stream source, to its end. The event loop waits for the bytes, so no thread is blocked
 * and the read can be cancelled at any time. Buffers at most one read that was not requested and, at the end, the rest
 * of the pipe.
 */
import { type OnReadOpts, Socket, type SocketConstructorOpts } from 'node:net';
import { abortedError } from '../errors.js';
import { ReadError, readFullySync } from '../system/read-fully.js';

/** Capacity of a pipe on Linux; larger reads were not measurably faster. */
const BUFFER_BYTES = 64 * 1024;

/**
 * More than remains in a pipe after its writers close it: its capacity is 1 MiB at most unless a privileged program has
 * raised it.
 */
const MOST_LEFT_BYTES = 64 * 2 ** 20;

/** A pending `fill`. */
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
  /**
   * Bytes that came after the last demand was met. They are part of the socket's buffer, which is reused when the
   * socket is resumed.
   */
  #rest: Uint8Array = new Uint8Array(0);
  #demand: Demand | undefined;
  #ended = false;
  #failure: { readonly error: unknown } | undefined;

  /**
   * @param descriptor closed at the end of the stream or with the reader, unless it is standard input, output or error
   * @throws the system's error when the descriptor is neither a pipe nor a stream socket
   */
  constructor(descriptor: number) {
    this.#descriptor = descriptor;
    // The type declarations allow `onread` only for connect().
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

  /** Bytes read so far. */
  get received(): number {
    return this.#received;
  }

  /**
   * Fills `memory`. Only one call may be pending.
   * @returns bytes read; fewer than `memory` takes only at the end, then always 0
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

  /** Copies bytes of the rest into `memory`. @returns their number */
  #takeRest(memory: Uint8Array): number {
    const part = this.#rest.subarray(0, memory.length);
    memory.set(part);
    this.#rest = this.#rest.subarray(part.length);
    this.#received += part.length;
    return part.length;
  }

  /** @returns false to pause the socket until the next demand */
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
    this.#drain();
    this.#ended = true;
    const demand = this.#demand;
    if (demand === undefined) return;
    demand.filled += this.#takeRest(demand.memory.subarray(demand.filled));
    this.#meet(demand);
  };

  /**
   * Reads what Node.js left in the pipe. Node.js treats a stream as ended when the other side is closed and a read was
   * short. A pipe may still hold bytes then (in packet mode each read returns a single write), and a broken connection
   * may still report an error.
   */
  #drain(): void {
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
        // EAGAIN: another writer opened the named pipe but has not written yet.
        if (error.cause.code !== 'EAGAIN') this.#onError(error.cause);
      }
      parts.push(part.subarray(0, count));
      length += count;
    }
    if (length > MOST_LEFT_BYTES) this.#onError(new Error('the stream continues after its end'));
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
