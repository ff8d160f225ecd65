/**
 * Checks the file names that a program passes to the library and makes them absolute when the function is called, so
 * that a later change of the working directory has no effect. The system takes names as bytes, the library as strings:
 * strings that would become another name are refused.
 */
import { realpathSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { usageError } from '../errors.js';
import type { ImageReference, StreamReference } from './image-reference.js';

/**
 * @param name of a file
 * @param argument the argument's name for messages, such as `target`
 * @returns the absolute path; a relative name stays relative if the working directory's name is not UTF-8
 * @throws Qcow2cError ERR_USAGE for a string that cannot be a file name
 */
export function callerName(name: unknown, argument: string): string {
  refuseNoText(name, argument);
  if (name === '' || isAbsolute(name)) return name;
  const directory = workingDirectory();
  return directory === undefined ? name : `${directory}/${name}`;
}

/** Like `callerName`, for an image and all files that belong to it. */
export function callerImage(image: ImageReference, argument: string): ImageReference {
  const { file, backing, dataFile } = image;
  return {
    ...image,
    file: callerName(file, `${argument}.file`),
    ...(typeof backing === 'object' ? { backing: callerImage(backing, `${argument}.backing`) } : {}),
    ...(dataFile === undefined ? {} : { dataFile: callerName(dataFile, `${argument}.dataFile`) }),
  };
}

/** Like `callerName`, for every kind of source. */
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
      : 'holds an unpaired surrogate';
  if (problem !== undefined) throw usageError(`'${argument}' is not a file name: it ${problem}`);
}

/** Node.js encodes half of a surrogate pair as U+FFFD, which is another name. */
function isWellFormed(name: string): boolean {
  return Buffer.from(name).toString() === name;
}

function workingDirectory(): string | undefined {
  // Only the native call passes bytes through unchanged.
  const bytes = realpathSync.native('.', { encoding: 'buffer' });
  const name = bytes.toString();
  return Buffer.from(name).equals(bytes) ? name : undefined;
}
