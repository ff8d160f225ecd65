/** Guest ranges that could not be read, as planners and pools report them to the caller of a command. */
import type { Qcow2cError } from '../errors.js';

/** A guest range that could not be read and became zeros, or was read although its payload is malformed. In bytes. */
export interface UnreadableRange {
  readonly guestOffset: number;
  readonly length: number;
  readonly error: Qcow2cError;
  /** Set if all bytes were read: the payload is malformed, but QEMU reads it, or salvaging recovered it. */
  readonly isKept?: true;
}
