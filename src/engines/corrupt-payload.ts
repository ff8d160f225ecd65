/** The error of all decompressors. Callers and tests see the same error with every engine. */
import { Qcow2cError } from '../errors.js';

export class CorruptPayload extends Qcow2cError {
  /** The defect of the payload, as a clause. */
  readonly reason: string;
  /** Whether QEMU reads the cluster nevertheless. Then all of it has been inflated. */
  readonly isReadable: boolean;

  /** @param cause the error of the engine, if it reported one */
  constructor(
    reason: string,
    { isReadable = false, cause }: { readonly isReadable?: boolean; readonly cause?: unknown } = {},
  ) {
    super('ERR_CORRUPT', `Compressed cluster cannot be read: ${reason}`, { cause });
    this.reason = reason;
    this.isReadable = isReadable;
  }
}
