/** How far a command is with its disk, as the pipeline reports it. */

export interface Progress {
  /**
   * Only of a conversion in two passes. `convert` is followed by `verify`, whose figures on data are those at the end of
   * the first pass, or for a stream from a spool directory by `write`. `layout` is the first pass over an image for a
   * stream, and is followed by `write`.
   */
  readonly phase?: 'convert' | 'layout' | 'verify' | 'write' | undefined;
  /**
   * The part of the command's work that is done, from 0 to 1, in proportion to time: all phases count, and holes do not.
   * It never decreases. undefined: a stream of unknown length.
   */
  readonly share?: number | undefined;
  /** Guest bytes done: read, found to be zero, or skipped as a hole. */
  readonly guestBytesDone: number;
  /** All guest bytes; undefined: a stream of unknown length. */
  readonly guestBytes: number | undefined;
  /** Guest bytes that were read, and stored if there is a target. */
  readonly dataBytes: number;
  /** Bytes that these take in the target; undefined: there is no target. */
  readonly storedBytes: number | undefined;
  /**
   * What the clusters stored so far take in the image for each of their guest bytes; undefined: none are stored, or the
   * target is no image.
   */
  readonly ratio?: number | undefined;
}
