/** How a caller names an image: its file, its format, and the files that belong to it. */
import type { Readable } from 'node:stream';
import { type Qcow2cError, usageError } from '../errors.js';

export const IMAGE_FORMATS = ['raw', 'qcow2'] as const;

export type ImageFormat = (typeof IMAGE_FORMATS)[number];

export function isImageFormat(name: string | undefined): name is ImageFormat {
  return IMAGE_FORMATS.some((format) => format === name);
}

/** An image in a file or on a block device. Properties given here override those in the file. */
export interface ImageReference {
  /** The name of the file. */
  readonly file: string;
  /** Default: probed in the first bytes. If it was probed, backing files and data files are refused. */
  readonly format?: ImageFormat | undefined;
  /** How a message asks for the format, up to its name: an option of your program. Default: `-f `. */
  readonly formatOption?: string | undefined;
  /** Replaces the backing file that the image names; `none` ignores it. qcow2 only. */
  readonly backing?: ImageReference | 'none' | undefined;
  /** Replaces the external data file that the image names. qcow2 only. */
  readonly dataFile?: string | undefined;
  /** Read the image even if another process has it open for writing. */
  readonly forceShare?: boolean | undefined;
  /** Use a part of the file only: where it begins, in bytes. raw only. Default: 0. */
  readonly offset?: number | undefined;
  /** The length of that part, in bytes. raw only. Default: up to the end of the file. */
  readonly size?: number | undefined;
}

/** An image, given as the name of its file or in more detail. */
export type Image = string | ImageReference;

/** @param format of an image that is given as a name */
export function imageReference(image: Image, format?: ImageFormat): ImageReference {
  return typeof image === 'string' ? { file: image, format } : image;
}

/** The error of a call without the name of an image, in the words of qemu-img. @param hint what is missing */
export function missingFileName(hint?: string): Qcow2cError {
  return usageError(`Must specify image file name${hint === undefined ? '' : ` (${hint})`}`);
}

/** A raw disk of unknown length that is read once, from start to end. */
export interface StreamReference {
  /**
   * An open file descriptor, such as 0 for standard input; it is closed after reading, unless it is 0, 1 or 2. A call
   * that is refused leaves it open. Or a `Readable` of Node.js in byte mode from which nothing has been read. It is
   * never destroyed: after an error or an abort, that is up to the caller.
   */
  readonly stream: number | Readable;
  /** The name for messages. Default: `stream`, or `file descriptor N`. */
  readonly name?: string | undefined;
}
