/** The limits that the system sets to this process (getrlimit(2)), as far as Linux lists them. */
import { readFileSync } from 'node:fs';

/**
 * @param name as in /proc/self/limits: bytes for a size, else a number
 * @returns the soft limit; undefined: none, or unknown
 */
export function processLimit(name: 'Max processes' | 'Max file size'): number | undefined {
  try {
    const soft = new RegExp(`^${name} +(\\d+) `, 'm').exec(readFileSync('/proc/self/limits', 'latin1'))?.[1];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
