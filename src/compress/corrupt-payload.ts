/** The one error of all decompressors, so that callers and tests see the same whichever engine reads. */
import { Qcow2cError } from '../errors.js';

export class CorruptPayload extends Qcow2cError {
  /** What is wrong with the payload, a part sentence. */
  readonly reason: string;

  /** @param cause the engine's own error, where it has one */
  constructor(reason: string, cause?: unknown) {
    super('ERR_CORRUPT', `Compressed cluster cannot be read: ${reason}`, { cause });
    this.reason = reason;
  }
}
