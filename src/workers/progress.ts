/** How far a command is with its disk, as the pipeline reports it. */

export interface Progress {
  /**
   * Only of a conversion in several passes. `convert` is followed by `digest`, in which the finished target is read for a
   * digest, and by `verify`; their figures on data are those at the end of the first pass. For a stream from a spool
   * directory they are followed by `write`. `layout` is the first pass over an image for a stream, and is followed by
   * `write`.
   */
  readonly phase?: 'convert' | 'layout' | 'digest' | 'verify' | 'write' | undefined;
  /**
   * The part of the command's work that is done, from 0 to 1, in proportion to time: all phases count, and holes do not.
   * It never decreases. undefined: a stream of unknown length, or `wantsShare` was not true yet.
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
