/**
 * The names of other files that an image holds: its backing file's and its external data file's. They are
 * text that anybody may have written; whoever opens them decides first whether that may be.
 */
import { Qcow2cError, quoted } from '../errors.js';

/** How a name is read; undefined: there is none. */
export type NameDecoder = typeof decodeStoredName;

/**
 * @param bytes the name as the image holds it; ends at a NUL, as in QEMU
 * @param what names it in a message: "The backing file's name in 'x.qcow2'"
 * @param offset where it is in the file, in bytes
 * @returns the name, or undefined for an empty one, which QEMU takes for none
 * @throws Qcow2cError ERR_UNSUPPORTED when it is not UTF-8
 */
export function decodeStoredName(
  bytes: Uint8Array,
  what: string,
  file: string,
  offset: number,
): string | undefined {
  const name = untilNul(bytes);
  if (name.length === 0) return undefined;
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(name);
  } catch (cause) {
    throw new Qcow2cError(
      'ERR_UNSUPPORTED',
      `The ${what} in ${quoted(file)} at offset ${offset} is ${quoted(Buffer.from(name).toString('latin1'))}, expected UTF-8`,
      { file, offset, expected: 'UTF-8', cause },
    );
  }
}

/** As `decodeStoredName`, for a name that is only shown: what is not UTF-8 is replaced (U+FFFD), as QEMU's JSON does. */
export function decodeShownName(bytes: Uint8Array): string | undefined {
  const name = untilNul(bytes);
  return name.length === 0 ? undefined : new TextDecoder('utf-8', { ignoreBOM: true }).decode(name);
}

function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}
