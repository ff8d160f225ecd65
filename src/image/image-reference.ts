/** How a caller names an image: which file, in which format, and what is to be used with it. */

export const IMAGE_FORMATS = ['raw', 'qcow2'] as const;

export type ImageFormat = (typeof IMAGE_FORMATS)[number];

export function isImageFormat(name: string | undefined): name is ImageFormat {
  return IMAGE_FORMATS.some((format) => format === name);
}

/** An image in a file or on a block device. Everything said here is trusted more than what the file says. */
export interface ImageReference {
  readonly file: string;
  /** Looked for in the first bytes when left out; an image found so may name no other file. */
  readonly format?: ImageFormat | undefined;
  /** Instead of the backing file that the image names; `none`: as if it named none. qcow2 only. */
  readonly backing?: ImageReference | 'none' | undefined;
  /** Instead of the external data file that the image names. qcow2 only. */
  readonly dataFile?: string | undefined;
  /** Read it although somebody may be writing to it. */
  readonly forceShare?: boolean | undefined;
  /** Only a part of the file, in bytes: where it begins and how long it is. raw only. */
  readonly offset?: number | undefined;
  readonly size?: number | undefined;
}

/** A raw disk of unknown length that comes through an open descriptor, such as standard input. */
export interface StreamReference {
  readonly stream: number;
  /** The name for messages. */
  readonly name: string;
}
