/** The one error of all decompressors, so that callers and tests see the same whichever engine reads. */
import { Qcow2cError } from '../errors.js';

/**
 * @param reason what is wrong with the payload, a part sentence
 * @param cause the engine's own error, where it has one
 */
export function corruptPayload(reason: string, cause?: unknown): Qcow2cError {
  return new Qcow2cError('ERR_CORRUPT', `Compressed cluster cannot be read: ${reason}`, { cause });
}
