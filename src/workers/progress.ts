/** How far a command is with its disk, as the pipeline reports it. */

export interface Progress {
  /**
   * Only of a conversion that verifies: `verify` is the second pass. Its figures on data are those at the end of the
   * first.
   */
  readonly phase?: 'convert' | 'verify' | undefined;
  /** Guest bytes done: read, found to be zero, or skipped as a hole. */
  readonly guestBytesDone: number;
  /** All guest bytes; undefined: a stream of unknown length. */
  readonly guestBytes: number | undefined;
  /** Guest bytes that were read, and stored if there is a target. */
  readonly dataBytes: number;
  /** Bytes that these take in the target; undefined: there is no target. */
  readonly storedBytes: number | undefined;
}
