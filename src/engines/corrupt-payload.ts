/** The one error of all decompressors, so that callers and tests see the same whichever engine reads. */
import { Qcow2cError } from '../errors.js';

export class CorruptPayload extends Qcow2cError {
  /** What is wrong with the payload, a part sentence. */
  readonly reason: string;
  /** Whether QEMU reads the cluster all the same. Then all of it has been inflated. */
  readonly isReadable: boolean;

  /** @param cause the engine's own error, where it has one */
  constructor(
    reason: string,
    { isReadable = false, cause }: { readonly isReadable?: boolean; readonly cause?: unknown } = {},
  ) {
    super('ERR_CORRUPT', `Compressed cluster cannot be read: ${reason}`, { cause });
    this.reason = reason;
    this.isReadable = isReadable;
  }
}
