/** The values of -t and -T: how files are written and read, in qemu-img's words. */
import { usageError } from '../../errors.js';
import { CACHE_MODES, type CacheMode } from '../../storage/cache-mode.js';

/**
 * @param what names the option in the message as qemu-img does
 * @returns undefined when the option is not there
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
