/** How far a command is with the disk that it goes through. Made by the pipeline, shown by whoever asked for it. */

export interface Progress {
  /**
   * Only where the disk is gone through twice: `verify` is the second time. It has the figures on data of the end
   * of the first.
   */
  readonly phase?: 'convert' | 'verify' | undefined;
  /** Guest bytes that are dealt with: read, found to be zero or skipped as a hole. */
  readonly guestBytesDone: number;
  /** Guest bytes in all; undefined while a stream comes in whose length nobody knows. */
  readonly guestBytes: number | undefined;
  /** Guest bytes that were read, and are now in the target if there is one. */
  readonly dataBytes: number;
  /** What these take up in the target; undefined: nothing is written. */
  readonly storedBytes: number | undefined;
}
