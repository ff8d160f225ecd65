/**
 * Takes the arguments of the library's functions, which are unknown values until they are checked. A taker returns its
 * value, of a known type and as a copy, or throws ERR_USAGE with the argument's path, such as `sources[1].file`.
 */
import { type Qcow2cError, quoted, usageError } from '../errors.js';

/** @param argument the path, for messages @throws Qcow2cError ERR_USAGE */
export type Taker<Type> = (value: unknown, argument: string) => Type;

/** The most characters of a wrong text that a message shows. */
const SHOWN_CHARACTERS = 40;

/** @param expected continues the sentence "'argument' must be …" */
export function wrongArgument(argument: string, expected: string, value: unknown): Qcow2cError {
  const found = describe(value);
  return usageError(`${quoted(argument)} must be ${expected}, not ${found}`, { expected, found });
}

function describe(value: unknown): string {
  if (value === null || value === undefined || typeof value === 'boolean') return String(value);
  if (typeof value === 'number' || typeof value === 'bigint') return `the ${typeof value} ${value}`;
  if (typeof value === 'string') return `the string ${quoted(value.slice(0, SHOWN_CHARACTERS))}`;
  if (value instanceof Uint8Array) return 'bytes';
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (typeof value !== 'object') return `a ${typeof value}`;
  const tag = tagOf(value);
  return tag === 'Object' ? 'an object' : `an object of type ${quoted(tag.slice(0, SHOWN_CHARACTERS))}`;
}

/** @returns `Object` for plain objects and most classes, and the type of built-in objects, such as `Promise` */
function tagOf(value: object): string {
  return Object.prototype.toString.call(value).slice('[object '.length, -1);
}

export function optional<Type>(take: Taker<Type>): Taker<Type | undefined> {
  return (value, argument) => (value === undefined ? undefined : take(value, argument));
}

export const flag: Taker<boolean> = (value, argument) => {
  if (typeof value !== 'boolean') throw wrongArgument(argument, 'true or false', value);
  return value;
};

/** @param most inclusive */
export function wholeNumber(least: number, most = Number.MAX_SAFE_INTEGER): Taker<number> {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  return (value, argument) => {
    const isRight = typeof value === 'number' && Number.isInteger(value) && value >= least;
    if (!isRight || value > most) throw wrongArgument(argument, `a whole number ${range}`, value);
    return value;
  };
}

export function oneOf<const Value extends string | number>(...values: readonly Value[]): Taker<Value> {
  const expected = `one of ${values.map((value) => (typeof value === 'string' ? quoted(value) : value)).join(', ')}`;
  return (value, argument) => {
    const found = values.find((known) => known === value);
    if (found === undefined) throw wrongArgument(argument, expected, value);
    return found;
  };
}

// biome-ignore lint/suspicious/noExplicitAny: no taker can tell the parameters of a function
export function callback<Type extends (...values: any[]) => unknown>(): Taker<Type> {
  return (value, argument) => {
    if (typeof value !== 'function') throw wrongArgument(argument, 'a function', value);
    return value as Type;
  };
}

/** A signal of another realm counts too. */
export const abortSignal: Taker<AbortSignal> = (value, argument) => {
  const { aborted, addEventListener, removeEventListener } = Object(value) as Partial<AbortSignal>;
  const isSignal =
    typeof aborted === 'boolean' &&
    typeof addEventListener === 'function' &&
    typeof removeEventListener === 'function';
  if (!isSignal) throw wrongArgument(argument, 'an AbortSignal', value);
  return value as AbortSignal;
};

export function arrayOf<Type>(take: Taker<Type>): Taker<Type[]> {
  return (value, argument) => {
    if (!Array.isArray(value)) throw wrongArgument(argument, 'an array', value);
    // Not `map`, which skips the holes of an array.
    return Array.from(value, (item: unknown, index) => take(item, `${argument}[${index}]`));
  };
}

/**
 * An object with no other properties than these: a misspelt one is an error.
 * @param path of a property from the object's own path; options have none
 */
export function fields<Type extends object>(
  takers: { readonly [Name in keyof Type]-?: Taker<Type[Name]> },
  path = (argument: string, name: string) => `${argument}.${name}`,
): Taker<Type> {
  return (value, argument) => {
    if (!isPlain(value)) throw wrongArgument(argument, 'an object', value);
    const stray = Object.keys(value).find(
      (name) => !Object.hasOwn(takers, name) && value[name] !== undefined,
    );
    if (stray !== undefined) throw usageError(`There is no argument ${quoted(path(argument, stray))}`);
    const taken: Record<string, unknown> = {};
    for (const [name, take] of Object.entries<Taker<unknown>>(takers)) {
      const found = take(value[name], path(argument, name));
      if (found !== undefined) taken[name] = found;
    }
    return taken as Type;
  };
}

/**
 * Whether a value can hold named properties: not an array, bytes or a function, and not a Promise or a Map, which would
 * seem to be an object without options.
 */
export function isPlain(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && ['Object', 'Module'].includes(tagOf(value));
}
