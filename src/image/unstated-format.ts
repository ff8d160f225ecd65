/** Says in messages how to state the format of an image that was opened without one. */

/** What is known about the format of an image. */
export interface FormatOrigin {
  /**
   * The origin of the image's name if no format was stated and the format is probed: the caller, or the overlay that
   * names this image as its backing file. undefined if the format was stated.
   */
  readonly unstatedBy?: 'caller' | 'overlay' | undefined;
  /** See ImageReference. */
  readonly formatOption?: string | undefined;
}

/** @param format its name, or a word that stands for it @returns what to write: an option, or a command for the overlay */
export function formatStatement(format: string, { unstatedBy, formatOption = '-f ' }: FormatOrigin): string {
  if (unstatedBy !== 'overlay') return `${formatOption}${format}`;
  // Without -b, rebase would remove the name of the backing file.
  const command = `'qemu-img rebase -u -b FILE -F ${format} OVERLAY'`;
  return `${command} or, for a source, --image-opts with backing.driver=${format}`;
}
