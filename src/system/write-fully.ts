/** Writes to a descriptor until all bytes are written. Interrupted and short writes are continued. */
import * as fs from 'node:fs';
import { isTransient, MOST_IDLE_ATTEMPTS } from './transient-error.js';

/**
 * @param position bytes from the file's start; null: the descriptor's own position
 * @param signal stops the loop before the next write
 * @throws the system's error
 */
export async function writeFully(
  descriptor: number,
  bytes: Uint8Array,
  position: number | null,
  signal?: AbortSignal,
): Promise<void> {
  let idle = 0;
  for (let done = 0; done < bytes.length && !signal?.aborted; ) {
    try {
      const written = await writeOnce(
        descriptor,
        bytes.subarray(done),
        position === null ? null : position + done,
      );
      done += written;
      idle = written > 0 ? 0 : idle + 1;
    } catch (error) {
      idle += 1;
      if (!isTransient(error) || idle > MOST_IDLE_ATTEMPTS) throw error;
    }
    if (idle > MOST_IDLE_ATTEMPTS) throw new Error(`only ${done} bytes were written`);
  }
}

function writeOnce(descriptor: number, bytes: Uint8Array, position: number | null): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(descriptor, bytes, 0, bytes.length, position, (error, written) =>
      error ? reject(error) : resolve(written),
    );
  });
}
