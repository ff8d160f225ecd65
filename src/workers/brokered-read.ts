/**
 * Reads that the main thread makes for workers that have no connection: not yet, or because the server allows only one.
 * The worker blocks until the main thread has filled memory that both share. The main thread's event loop serves many
 * workers at once.
 */
import { type FailureKind, NbdFailure } from '../nbd/nbd-failure.js';
import { readOf } from '../nbd/open-exports.js';

/** Milliseconds of a wait, after which the worker checks for cancellation. */
const WAIT = 100;
/** Least bytes of the shared memory: room for the reason of a failure. */
const LEAST_BYTES = 4096;

/** Values of the first number of `state`. The second is the length of the failure's JSON in `memory`, in bytes. */
const PENDING = 0;
const DONE = 1;
const FAILED = 2;

export interface BrokeredRead {
  /** The number of the export. */
  readonly number: number;
  /** Position in the export, in bytes. */
  readonly offset: number;
  /** Bytes to read. */
  readonly length: number;
  readonly memory: SharedArrayBuffer;
  readonly state: Int32Array;
}

export type PostRead = (request: BrokeredRead) => void;

interface PlainFailure {
  readonly kind: FailureKind;
  readonly message: string;
  readonly errno?: number | undefined;
  readonly code?: string | undefined;
}

/** The worker's side. */
export class BrokeredReader {
  readonly #post: PostRead;
  readonly #throwIfCancelled: () => void;
  #memory = new SharedArrayBuffer(0);

  constructor(post: PostRead, throwIfCancelled: () => void) {
    this.#post = post;
    this.#throwIfCancelled = throwIfCancelled;
  }

  /**
   * Fills `into` and blocks the thread until then.
   * @param number of the export
   * @param offset bytes in the export
   * @throws NbdFailure
   */
  read(number: number, into: Uint8Array, offset: number): void {
    const { length } = into;
    if (this.#memory.byteLength < length) this.#memory = new SharedArrayBuffer(Math.max(length, LEAST_BYTES));
    const memory = this.#memory;
    const state = new Int32Array(new SharedArrayBuffer(8));
    this.#post({ number, offset, length, memory, state });
    while (Atomics.load(state, 0) === PENDING) {
      this.#throwIfCancelled();
      Atomics.wait(state, 0, PENDING, WAIT);
    }
    if (Atomics.load(state, 0) === DONE) {
      into.set(new Uint8Array(memory, 0, length));
      return;
    }
    const text = Buffer.from(memory, 0, Atomics.load(state, 1)).toString();
    const { kind, message, ...reason } = JSON.parse(text) as PlainFailure;
    throw new NbdFailure(kind, message, reason);
  }
}

/** The main thread's side: serves one request. Never rejects. */
export async function serveRead({ number, offset, length, memory, state }: BrokeredRead): Promise<void> {
  let outcome = DONE;
  try {
    const read = readOf(number);
    if (read === undefined) throw new NbdFailure('closed', 'the export is not open');
    await read(offset, new Uint8Array(memory, 0, length));
  } catch (error) {
    const { message, errno, code } = error as NodeJS.ErrnoException;
    const kind = error instanceof NbdFailure ? error.kind : 'broken';
    const plain: PlainFailure = { kind, message: message.slice(0, 500), errno, code };
    outcome = FAILED;
    Atomics.store(state, 1, Buffer.from(memory).write(JSON.stringify(plain)));
  }
  Atomics.store(state, 0, outcome);
  Atomics.notify(state, 0);
}
