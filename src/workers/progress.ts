/** The progress of a command, as the pipeline reports it. */

export interface Progress {
  /**
   * Present in a conversion with several passes. `convert` is followed by `digest`, which reads the finished target for
   * a digest, and by `verify`. Both report the data of the first pass. With a spool directory, `write` follows, which
   * sends the image to the stream. Without one, a stream has `layout`, the first pass over the image, and then `write`.
   */
  readonly phase?: 'convert' | 'layout' | 'digest' | 'verify' | 'write' | undefined;
  /**
   * The part of the command's work that is done, from 0 to 1, in proportion to time: all phases count, and holes do
   * not. It never decreases. undefined: a stream of unknown length, or `wantsShare` has not returned true yet.
   */
  readonly share?: number | undefined;
  /** Guest bytes done: read, found to be zero, or skipped as a hole. */
  readonly guestBytesDone: number;
  /** All guest bytes; undefined: a stream of unknown length. */
  readonly guestBytes: number | undefined;
  /** Guest bytes that were read, and stored if there is a target. */
  readonly dataBytes: number;
  /** Bytes that this data takes in the target; undefined: there is no target. */
  readonly storedBytes: number | undefined;
  /**
   * Bytes in the image divided by guest bytes, of the clusters stored so far; undefined: none are stored, or the target
   * is raw.
   */
  readonly ratio?: number | undefined;
}
