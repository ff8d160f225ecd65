/** One read(2) or pread(2), for those who read on themselves. */
import * as fs from 'node:fs';

/**
 * @param position bytes; null: where the last read ended, as of a pipe
 * @returns how many bytes came, perhaps fewer than asked for; 0 at the end
 * @throws the system's error
 */
export function readAt(descriptor: number, into: Uint8Array, position: number | null): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(descriptor, into, 0, into.length, position, (error, count) =>
      error ? reject(error) : resolve(count),
    );
  });
}
