/** Limits of this process (getrlimit(2)), as listed by Linux in /proc. */
import { readFileSync } from 'node:fs';

/**
 * @param name as in /proc/self/limits
 * @returns the soft limit (of a size in bytes); undefined: unlimited or unknown
 */
export function processLimit(
  name: 'Max processes' | 'Max file size' | 'Max address space',
): number | undefined {
  try {
    const soft = new RegExp(`^${name} +(\\d+) `, 'm').exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
