/**
 * Parses numbers that are the whole argument of an option, with the errors of cvtnum in qemu-img.c. Used by the readers
 * of the commands' options.
 */
import { usageError } from '../../errors.js';
import { MOST_THREADS } from '../../workers/worker-budget.js';
import { parseInteger, parseSize } from './numbers.js';

const HIGHEST_INT64 = 2n ** 63n - 1n;

/**
 * @param what the number's name in messages, as in qemu-img: "start offset"
 * @param highest in bytes; default: the largest signed 64-bit number. From 2^53 on a result is rounded
 * @returns bytes
 * @throws Qcow2cError ERR_USAGE
 */
export function readSize(what: string, text: string, highest = HIGHEST_INT64): number {
  const bytes = parseSize(text);
  if (bytes === 'malformed') {
    throw usageError(
      `Invalid ${what} specified. You may use k, M, G, T, P or E suffixes for ` +
        'kilobytes, megabytes, gigabytes, terabytes, petabytes and exabytes.',
    );
  }
  if (bytes === 'too large' || bytes > highest) {
    throw usageError(`Invalid ${what} specified. Must be between 0 and ${highest}.`);
  }
  return Number(bytes);
}

/**
 * The value of --compressed-cache-size.
 * @returns bytes
 * @throws Qcow2cError ERR_USAGE
 */
export function readCacheSize(text: string): number {
  return readSize('compressed cache size', text, BigInt(Number.MAX_SAFE_INTEGER));
}

/**
 * The value of -r.
 * @returns bytes a second; undefined for 0, which sets no limit, as in qemu-img
 * @throws Qcow2cError ERR_USAGE
 */
export function readRateLimit(text: string): number | undefined {
  const bytes = readSize('rate limit', text);
  return bytes === 0 ? undefined : Math.min(bytes, Number.MAX_SAFE_INTEGER);
}

/**
 * The value of --min-size.
 * @returns bytes
 * @throws Qcow2cError ERR_USAGE
 */
export function readMinSize(text: string): number {
  return readSize('minimum size', text, BigInt(Number.MAX_SAFE_INTEGER));
}

/**
 * The value of --memory.
 * @returns bytes
 * @throws Qcow2cError ERR_USAGE
 */
export function readMemory(text: string): number {
  return readSize('memory limit', text, BigInt(Number.MAX_SAFE_INTEGER));
}

/**
 * The value of -m.
 * @throws Qcow2cError ERR_USAGE
 */
export function readThreads(text: string): number {
  const threads = parseInteger(text);
  if (typeof threads === 'string' || threads < 1 || threads > MOST_THREADS) {
    throw usageError(
      `Invalid number of threads '${text}'. Allowed number of threads is between 1 and ${MOST_THREADS}`,
    );
  }
  return threads;
}
