/** Turns what a worker says of a failure into the error that callers see, with the names of the files. */
import { CorruptPayload } from '../engines/corrupt-payload.js';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import type { ItemFailure } from './messages.js';

/** Names the file behind a descriptor, for messages. */
export type FileOf = (descriptor: number) => string | undefined;

/**
 * @param guestOffset where the item begins, in bytes
 * @param isKept whether the bytes were had all the same
 * @returns ERR_IO for a failed read, ERR_SOURCE_CHANGED for a file that ended early, ERR_CORRUPT for a damaged payload
 */
export function failureError(
  failure: ItemFailure,
  guestOffset: number,
  fileOf: FileOf,
  isKept = false,
): Qcow2cError {
  const file = fileOf(failure.descriptor) ?? 'the source';
  const { offset } = failure;
  switch (failure.kind) {
    case 'read': {
      const { errno, code, message } = failure;
      const cause = Object.assign(new Error(message), { errno, code });
      return ioError(`Could not read ${quoted(file)} at offset ${offset}`, cause, { file, offset });
    }
    case 'short': {
      const { expected, found } = failure;
      return new Qcow2cError(
        'ERR_SOURCE_CHANGED',
        `${quoted(file)} became shorter while it was being read: ` +
          `${expected} bytes were expected at offset ${offset}, ${found} are there`,
        { file, offset, expected, found },
      );
    }
    case 'corrupt': {
      const at = guestOffset + failure.at;
      return new Qcow2cError(
        'ERR_CORRUPT',
        `Compressed cluster at guest offset ${at} ${isKept ? 'is malformed' : 'cannot be read'}: ` +
          `${failure.message} ` +
          `(payload at offset ${offset} of ${quoted(file)})`,
        { file, offset, guestOffset: at, cause: new CorruptPayload(failure.message) },
      );
    }
  }
}
