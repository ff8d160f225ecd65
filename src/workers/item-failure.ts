/**
 * Bytes of an item that could not be read: plain data between threads, an exception inside a worker, and the error that
 * callers see.
 */
import { CorruptPayload } from '../engines/corrupt-payload.js';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import type { UnreadableRange } from './unreadable-range.js';

/**
 * Why bytes could not be read. Plain data: custom errors lose their fields between threads. `offset` is in the file.
 * `at` is the place of these bytes, or of the payload's cluster, in bytes from the item's start; the reader of a file
 * does not know it.
 */
export type ItemFailure =
  | {
      readonly kind: 'read';
      readonly descriptor: number;
      readonly offset: number;
      readonly at?: number;
      readonly errno: number | undefined;
      readonly code: string | undefined;
      readonly message: string;
      /**
       * Nothing more can be read of the file: the connection to an export is lost, or the export had another size after
       * the connection was re-established.
       */
      readonly file?: 'lost' | 'changed';
    }
  | {
      readonly kind: 'short';
      readonly descriptor: number;
      readonly offset: number;
      readonly at?: number;
      readonly expected: number;
      readonly found: number;
    }
  | {
      /** A payload that does not inflate to one cluster. */
      readonly kind: 'corrupt';
      readonly descriptor: number;
      readonly offset: number;
      readonly at: number;
      readonly message: string;
    };

/** A range that became zeros because it could not be read. In bytes from the item's start. */
export interface UnreadableItemRange {
  readonly at: number;
  readonly length: number;
  readonly failure: ItemFailure;
  /** Set if all bytes were read: QEMU reads the malformed payload (also without salvage), or salvaging recovered it. */
  readonly isKept?: true;
}

/** Ends the work on an item, or on the part of it that is salvaged. Thrown and caught inside a worker only. */
export class ItemError extends Error {
  override readonly name = 'ItemError';
  readonly failure: ItemFailure;

  constructor(failure: ItemFailure) {
    super(failure.kind === 'short' ? 'the file ended early' : failure.message);
    this.failure = failure;
  }
}

/** Whether nothing more can be read of the file that the failure names. */
export function isOfLostFile(failure: ItemFailure): boolean {
  return failure.kind === 'read' && failure.file !== undefined;
}

/** @returns the name of the file behind a descriptor, for messages; undefined if unknown */
export type FileOf = (descriptor: number) => string | undefined;

/**
 * @param guestOffset start of the item, in bytes
 * @param isKept whether all bytes were read
 * @returns ERR_IO for a failed read, ERR_SOURCE_CHANGED for a file that ended early, ERR_CORRUPT for a damaged payload
 */
export function failureError(
  failure: ItemFailure,
  guestOffset: number,
  fileOf: FileOf,
  isKept = false,
): Qcow2cError {
  const file = fileOf(failure.descriptor);
  const name = file === undefined ? 'the source' : quoted(file);
  const { offset } = failure;
  const place = guestOffset + (failure.at ?? 0);
  const facts = file === undefined ? { guestOffset: place } : { file, offset, guestOffset: place };
  switch (failure.kind) {
    case 'read': {
      const { errno, code, message } = failure;
      const cause = Object.assign(new Error(message), { errno, code });
      const what = `Could not read ${name} at offset ${offset}`;
      if (failure.file === 'changed') {
        return new Qcow2cError('ERR_SOURCE_CHANGED', `${what}: ${message}`, { ...facts, cause });
      }
      return ioError(what, cause, facts);
    }
    case 'short': {
      const { expected, found } = failure;
      return new Qcow2cError(
        'ERR_SOURCE_CHANGED',
        `${name} became shorter while it was being read: ` +
          `${expected} bytes were expected at offset ${offset}, ${found} are there`,
        { ...facts, expected, found },
      );
    }
    case 'corrupt':
      return new Qcow2cError(
        'ERR_CORRUPT',
        `Compressed cluster at guest offset ${place} ${isKept ? 'is malformed' : 'cannot be read'}: ` +
          `${failure.message} ` +
          `(payload at offset ${offset} of ${name})`,
        { ...facts, cause: new CorruptPayload(failure.message) },
      );
  }
}

/** Converts a range of an item to one of the disk, with its error. @param guestOffset start of the item, in bytes */
export function unreadableRange(
  { at, length, failure, isKept }: UnreadableItemRange,
  guestOffset: number,
  fileOf: FileOf,
): UnreadableRange {
  const error = failureError(failure, guestOffset, fileOf, isKept);
  return { guestOffset: guestOffset + at, length, error, ...(isKept && { isKept }) };
}
