/**
 * The names that a program gives to the library. They are taken once, when a function is called: a later change of
 * the working directory changes nothing. Names are bytes to the system and text here, so what is no text is refused.
 */
import { realpathSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { usageError } from '../errors.js';
import type { ImageReference, StreamReference } from './image-reference.js';

/**
 * @param name of a file
 * @param argument names it in a message, such as `target`
 * @returns the same name from the root of the file system; as it is where the working directory's is not UTF-8
 * @throws Qcow2cError ERR_USAGE for what can be no file's name
 */
export function callerName(name: unknown, argument: string): string {
  refuseNoText(name, argument);
  if (name === '' || isAbsolute(name)) return name;
  const directory = workingDirectory();
  return directory === undefined ? name : `${directory}/${name}`;
}

/** As `callerName`, for an image and all that belongs to it. */
export function callerImage(image: ImageReference, argument: string): ImageReference {
  const { file, backing, dataFile } = image;
  return {
    ...image,
    file: callerName(file, `${argument}.file`),
    ...(typeof backing === 'object' ? { backing: callerImage(backing, `${argument}.backing`) } : {}),
    ...(dataFile === undefined ? {} : { dataFile: callerName(dataFile, `${argument}.dataFile`) }),
  };
}

/** As `callerName`, for everything that can be a source. */
export function callerSource<Source extends string | ImageReference | StreamReference>(
  source: Source,
  argument: string,
): Source;
export function callerSource(
  source: string | ImageReference | StreamReference,
  argument: string,
): string | ImageReference | StreamReference {
  if (typeof source !== 'object' || source instanceof Uint8Array) return callerName(source, argument);
  return 'stream' in source ? source : callerImage(source, argument);
}

/** @throws Qcow2cError ERR_USAGE */
export function refuseNoText(name: unknown, argument: string): asserts name is string {
  if (typeof name !== 'string') {
    const found = name instanceof Uint8Array ? 'bytes' : name === null ? 'null' : typeof name;
    throw usageError(
      `'${argument}' must be a string, not ${found}; a file whose name is not UTF-8 needs a symbolic link to it`,
      { expected: 'string', found },
    );
  }
  const problem = name.includes('\0')
    ? 'holds a NUL byte'
    : isWellFormed(name)
      ? undefined
      : 'holds half a character';
  if (problem !== undefined) throw usageError(`'${argument}' can be no file's name: it ${problem}`);
}

/** Half of a surrogate pair becomes U+FFFD in the system's calls, and the name another one. */
function isWellFormed(name: string): boolean {
  return Buffer.from(name).toString() === name;
}

function workingDirectory(): string | undefined {
  // Only the native call takes bytes all the way.
  const bytes = realpathSync.native('.', { encoding: 'buffer' });
  const name = bytes.toString();
  return Buffer.from(name).equals(bytes) ? name : undefined;
}
