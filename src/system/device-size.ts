/** The size of a block device, which fstat(2) does not report. Used for sources and targets. */
import { readSync } from 'node:fs';
import { alignedMemory, DIRECT_ALIGNMENT } from './aligned-memory.js';
import { seekEnd } from './seek.js';

/**
 * @param descriptor open for reading, with O_DIRECT or without
 * @returns bytes
 * @throws the system's error when the device cannot be read
 */
export async function deviceSize(descriptor: number): Promise<number> {
  // On macOS the offset is 0 for every device.
  return (await seekEnd(descriptor)) || endByReading(descriptor);
}

/** Finds the last readable block by bisection, with reads aligned for O_DIRECT. @returns its end, in bytes */
function endByReading(descriptor: number): number {
  const memory = alignedMemory(DIRECT_ALIGNMENT).subarray(0, DIRECT_ALIGNMENT);
  const bytesOf = (block: number) =>
    readSync(descriptor, memory, 0, DIRECT_ALIGNMENT, block * DIRECT_ALIGNMENT);
  let beyond = 1;
  while (beyond < 2 ** 40 && bytesOf(beyond - 1) > 0) beyond *= 2;
  // All blocks below `low` can be read, and none from `beyond` on.
  let low = Math.floor(beyond / 2);
  while (low < beyond) {
    const middle = Math.floor((low + beyond) / 2);
    if (bytesOf(middle) > 0) low = middle + 1;
    else beyond = middle;
  }
  return low === 0 ? 0 : (low - 1) * DIRECT_ALIGNMENT + bytesOf(low - 1);
}
