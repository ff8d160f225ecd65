/** Parses the cache modes of -t (writing) and -T (reading), which are those of qemu-img. */
import { usageError } from '../../errors.js';
import { CACHE_MODES, type CacheMode } from '../../storage/cache-mode.js';

/**
 * @param what the option's name in the message, as in qemu-img
 * @returns undefined if the option was not given
 * @throws Qcow2cError ERR_USAGE
 */
export function readCacheMode(
  what: 'cache' | 'source cache',
  text: string | undefined,
): CacheMode | undefined {
  const mode = CACHE_MODES.find((name) => name === text);
  if (text !== undefined && mode === undefined) throw usageError(`Invalid ${what} option: ${text}`);
  return mode;
}
