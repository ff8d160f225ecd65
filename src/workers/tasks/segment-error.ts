/** Why a segment could not be read; thrown and caught inside the worker only. */
import type { ItemFailure } from '../messages.js';

export class SegmentError extends Error {
  override readonly name = 'SegmentError';
  /** Plain data, for the main thread. */
  readonly failure: ItemFailure;

  constructor(failure: ItemFailure) {
    super(failure.kind === 'short' ? 'the file ended early' : failure.message);
    this.failure = failure;
  }
}
