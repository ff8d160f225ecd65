/**
 * The promises that every fuzz target of this folder tests, for any bytes. A broken promise is thrown, which is a
 * finding; errors that the program may answer with are values here.
 */
import { type ErrorCode, Qcow2cError } from '../../../src/errors.js';

/** What came of some work: its result, or the error that refused it. */
export type Outcome<T> =
  | { readonly value: T; readonly error?: undefined }
  | { readonly value?: undefined; readonly error: Qcow2cError };

/** The error for a broken promise. */
class BrokenPromise extends Error {
  override readonly name = 'BrokenPromise';
}

/** @param words the promise that is broken */
export function promise(condition: boolean, words: string, ...found: unknown[]): asserts condition {
  if (!condition) throw new BrokenPromise([words, ...found.map(inWords)].join(' '));
}

/** Both answers to one question must be the same. */
export function promiseSame(found: unknown, expected: unknown, words: string): void {
  const [is, must] = [inWords(found), inWords(expected)];
  if (is !== must) throw new BrokenPromise(`${words}: ${is}, expected ${must}`);
}

/** Control characters, and those that change the direction of writing: none may reach a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;

/**
 * @param allowed the codes that the function documents
 * @throws BrokenPromise for any other error, and for a message that is not one printable line
 */
export async function attempt<T>(
  allowed: readonly ErrorCode[],
  work: () => Promise<T> | T,
): Promise<Outcome<T>> {
  try {
    return { value: await work() };
  } catch (error) {
    if (!(error instanceof Qcow2cError)) throw error;
    if (!allowed.includes(error.code)) throw error;
    promise(!UNPRINTABLE.test(error.message), 'a message can be printed:', JSON.stringify(error.message));
    const { offset } = error;
    promise(
      offset === undefined || (Number.isSafeInteger(offset) && offset >= 0),
      'an offset is one:',
      offset,
    );
    return { error };
  }
}

/** Text that differs for any two different values in this program. */
function inWords(value: unknown): string {
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
  if (typeof value !== 'object' || value === null)
    return typeof value === 'bigint' ? `${value}n` : String(value);
  if (value instanceof Error) return value.message;
  if (Array.isArray(value)) return `[${value.map(inWords).join(', ')}]`;
  const fields = Object.entries(value).filter(([, field]) => field !== undefined);
  return `{${fields
    .map(([name, field]) => `${name}: ${inWords(field)}`)
    .sort()
    .join(', ')}}`;
}
