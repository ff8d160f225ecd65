/**
 * Takes the names of files and the images of the library's callers. A relative name is resolved when a function is
 * called, so that a later change of the working directory has no effect. Names are bytes to the system and text here;
 * a value that is not text is refused.
 */
import { realpathSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { Readable, Writable } from 'node:stream';
import { quoted, usageError } from '../errors.js';
import {
  IMAGE_FORMATS,
  type Image,
  type ImageReference,
  type StreamReference,
} from '../image/image-reference.js';
import { isNbdName } from '../nbd/nbd-name.js';
import type { StreamTarget } from '../storage/stream-name.js';
import { fields, flag, isPlain, oneOf, optional, type Taker, wholeNumber, wrongArgument } from './takers.js';

/** Text that can be a name of a file, a snapshot or a bitmap. */
export const nameText: Taker<string> = (value, argument) => {
  if (typeof value !== 'string') {
    const link =
      value instanceof Uint8Array ? ' (use a symbolic link to a file whose name is not UTF-8)' : '';
    throw wrongArgument(argument, `a string${link}`, value);
  }
  if (value.includes('\0')) throw usageError(`${quoted(argument)} must not contain a NUL byte`);
  if (!isWellFormed(value)) throw usageError(`${quoted(argument)} must be well-formed Unicode`);
  return value;
};

/**
 * The name of a file.
 * @returns the absolute name, not normalized; the name itself where that of the working directory is not UTF-8
 */
export const fileName: Taker<string> = (value, argument) => {
  const name = nameText(value, argument);
  if (name === '') throw wrongArgument(argument, "a file's name", value);
  if (isAbsolute(name)) return name;
  const directory = workingDirectory();
  return directory === undefined ? name : `${directory}/${name}`;
};

/** The name of a file or of an NBD export. @returns the absolute name of a file, the name of an export as it is */
const placeName: Taker<string> = (value, argument) =>
  typeof value === 'string' && isNbdName(value) ? nameText(value, argument) : fileName(value, argument);

const imageFields = fields<ImageReference>({
  file: placeName,
  format: optional(oneOf(...IMAGE_FORMATS)),
  formatOption: optional(nameText),
  backing: optional((value, argument) => (value === 'none' ? value : reference(value, argument))),
  dataFile: optional(placeName),
  forceShare: optional(flag),
  offset: optional(wholeNumber(0)),
  size: optional(wholeNumber(0)),
});

/** An image as an object. */
function reference(value: unknown, argument: string): ImageReference {
  return imageFields(value, argument);
}

/** An image as a name or an object. */
export const image: Taker<Image> = (value, argument) =>
  imageOr('an object with the file name in `file`', value, argument);

/** @param other what it may be instead of a file name, for messages */
function imageOr(other: string, value: unknown, argument: string): Image {
  if (isPlain(value) && !(value instanceof Readable)) return reference(value, argument);
  if (typeof value === 'string' || value instanceof Uint8Array) return placeName(value, argument);
  throw wrongArgument(argument, `a file name or ${other}`, value);
}

const streamFields = fields<StreamReference>({
  stream: (value, argument) => {
    if (value instanceof Readable) return value;
    if (typeof value === 'number') return wholeNumber(0, 2 ** 31 - 1)(value, argument);
    throw wrongArgument(argument, 'a file descriptor or a Readable of Node.js', value);
  },
  name: optional(nameText),
});

/** An image or a stream. */
export const source: Taker<Image | StreamReference> = (value, argument) =>
  isPlain(value) && 'stream' in value
    ? streamFields(value, argument)
    : imageOr('an object with `file` or `stream`', value, argument);

const targetFields = fields<StreamTarget>({
  stream: (value, argument) => {
    if (value instanceof Writable) return value;
    if (typeof value === 'number') return wholeNumber(0, 2 ** 31 - 1)(value, argument);
    throw wrongArgument(argument, 'a file descriptor or a Writable of Node.js', value);
  },
  name: optional(nameText),
});

/** The name of a file or of an NBD export, or a stream. */
export const target: Taker<string | StreamTarget> = (value, argument) => {
  if (isPlain(value) && 'stream' in value) return targetFields(value, argument);
  if (typeof value === 'string' || value instanceof Uint8Array) return placeName(value, argument);
  throw wrongArgument(argument, 'a file name or an object with `stream`', value);
};

/** Half of a surrogate pair becomes U+FFFD in the system's calls, which makes it another name. */
function isWellFormed(name: string): boolean {
  return Buffer.from(name).toString() === name;
}

function workingDirectory(): string | undefined {
  // Only the native call returns the bytes unchanged.
  const bytes = realpathSync.native('.', { encoding: 'buffer' });
  const name = bytes.toString();
  return Buffer.from(name).equals(bytes) ? name : undefined;
}
