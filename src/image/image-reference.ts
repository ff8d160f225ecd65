/** How a caller refers to an image: its file, its format, and the options to open it with. */

export const IMAGE_FORMATS = ['raw', 'qcow2'] as const;

export type ImageFormat = (typeof IMAGE_FORMATS)[number];

export function isImageFormat(name: string | undefined): name is ImageFormat {
  return IMAGE_FORMATS.some((format) => format === name);
}

/**
 * An image in a file or on a block device. These options come from the caller and override the contents of the file.
 */
export interface ImageReference {
  readonly file: string;
  /** Probed from the first bytes if omitted; an image with a probed format may not refer to other files. */
  readonly format?: ImageFormat | undefined;
  /** Replaces the backing file that the image names; `none`: no backing file. qcow2 only. */
  readonly backing?: ImageReference | 'none' | undefined;
  /** Replaces the external data file that the image names. qcow2 only. */
  readonly dataFile?: string | undefined;
  /** Open the image even if another process may be writing to it. */
  readonly forceShare?: boolean | undefined;
  /** Use only a part of the file: its offset and length in bytes. raw only. */
  readonly offset?: number | undefined;
  readonly size?: number | undefined;
}

/** A raw disk of unknown length that comes through an open descriptor, such as standard input. */
export interface StreamReference {
  readonly stream: number;
  /** The name for messages. */
  readonly name: string;
}
