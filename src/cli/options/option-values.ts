/**
 * Parses values of key=value lists by type, with the errors of QEMU (util/qemu-option.c and the enums of QAPI). Used by
 * the readers of -o and of --image-opts.
 */
import { type Qcow2cError, usageError } from '../../errors.js';
import { parseInteger, parseSize } from './numbers.js';

/** @throws Qcow2cError ERR_USAGE */
export function bool(value: string, key: string): boolean {
  if (['on', 'yes', 'true', 'y'].includes(value)) return true;
  if (['off', 'no', 'false', 'n'].includes(value)) return false;
  throw usageError(`Parameter '${key}' expects 'on' or 'off'`);
}

/** @throws Qcow2cError ERR_USAGE */
export function integer(value: string, key: string): number {
  const number = parseInteger(value);
  if (number === 'malformed') throw usageError(`Parameter '${key}' expects a number`);
  if (number === 'too large') throw usageError(`Value '${value}' is too large for parameter '${key}'`);
  return number;
}

/**
 * @returns bytes, a safe integer; no file is longer
 * @throws Qcow2cError ERR_USAGE
 */
export function size(value: string, key: string): number {
  const bytes = parseSize(value);
  if (bytes === 'malformed') {
    throw usageError(
      `Parameter '${key}' expects a non-negative number below 2^64 (optional suffixes: k, M, G, T, P and E)`,
    );
  }
  if (bytes === 'too large' || bytes > Number.MAX_SAFE_INTEGER) {
    throw usageError(`Value '${value}' is out of range for parameter '${key}'`);
  }
  return Number(bytes);
}

/**
 * @param choices the accepted words and their values
 * @throws Qcow2cError ERR_USAGE
 */
export function choice<T>(choices: Readonly<Record<string, T>>, value: string, key: string): T {
  const choice = Object.hasOwn(choices, value) ? choices[value] : undefined;
  if (choice === undefined) throw notAccepted(key, value, Object.keys(choices));
  return choice;
}

export function notAccepted(key: string, value: string, accepted: readonly string[]): Qcow2cError {
  return usageError(`Parameter '${key}' does not accept value '${value}' (accepted: ${accepted.join(', ')})`);
}
