/**
 * Reads a descriptor until the requested bytes are read or the file ends, in one loop for asynchronous callers and one
 * for synchronous callers. Interrupted and short reads are continued.
 */
import * as fs from 'node:fs';
import { roundDown } from '../arithmetic.js';
import { isTransient, MOST_IDLE_ATTEMPTS } from './transient-error.js';

/** A read that failed. `cause` is the system's error. */
export class ReadError extends Error {
  override readonly name = 'ReadError';
  override readonly cause: NodeJS.ErrnoException;
  /** Bytes of the request that were read before the read that failed. */
  readonly done: number;

  constructor(cause: unknown, done: number) {
    super((cause as Error).message);
    this.cause = cause as NodeJS.ErrnoException;
    this.done = done;
  }
}

/**
 * @param position bytes from the file's start; null: the descriptor's own position, as of a pipe
 * @param alignment bytes, for O_DIRECT: `position`, `into.length` and the address of `into` are multiples of it, and so
 *   is the start of every read. A direct read can end anywhere when the file ends or the read is cut short.
 * @param signal stops the loop before the next read
 * @returns bytes read; fewer than `into` takes at the file's end or after the signal
 * @throws ReadError
 */
export async function readFully(
  descriptor: number,
  into: Uint8Array,
  position: number | null,
  alignment = 1,
  signal?: AbortSignal,
): Promise<number> {
  let done = 0;
  let idle = 0;
  while (done < into.length && !signal?.aborted) {
    const at = roundDown(done, alignment);
    try {
      const count = await readOnce(descriptor, into.subarray(at), position === null ? null : position + at);
      if (at + count <= done) break;
      done = at + count;
      idle = 0;
    } catch (error) {
      idle += 1;
      if (!isTransient(error) || idle > MOST_IDLE_ATTEMPTS) throw new ReadError(error, at);
    }
  }
  return done;
}

/**
 * As `readFully`, for a thread that may block.
 * @param needed bytes after which no further read is made; the last read may return more
 */
export function readFullySync(
  descriptor: number,
  into: Uint8Array,
  position: number | null,
  alignment = 1,
  needed = into.length,
): number {
  let done = 0;
  let idle = 0;
  while (done < needed) {
    const at = roundDown(done, alignment);
    try {
      const from = position === null ? null : position + at;
      const count = fs.readSync(descriptor, into, at, into.length - at, from);
      if (at + count <= done) break;
      done = at + count;
      idle = 0;
    } catch (error) {
      idle += 1;
      if (!isTransient(error) || idle > MOST_IDLE_ATTEMPTS) throw new ReadError(error, at);
    }
  }
  return done;
}

function readOnce(descriptor: number, into: Uint8Array, position: number | null): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(descriptor, into, 0, into.length, position, (error, count) =>
      error ? reject(error) : resolve(count),
    );
  });
}
