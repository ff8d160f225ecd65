/**
 * The names stored in an image: of the backing file, the external data file, bitmaps and snapshots. The author of an
 * image can write any text there, so callers decide whether they trust a name before they open a file.
 */
import { Qcow2cError, quoted } from '../errors.js';

/** Decodes a stored name. @returns undefined if no name is stored */
export type NameDecoder = typeof decodeStoredName;

/**
 * @param bytes the name in the image, up to a NUL, as in QEMU
 * @param what the kind of name, for the message: "backing file's name"
 * @param file the image's name, for the message
 * @param offset of the name in the file, in bytes
 * @returns the name; undefined for an empty one, which QEMU treats as none
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

/** As `decodeStoredName`, for a name that is only shown: invalid UTF-8 becomes U+FFFD, as in QEMU's JSON. */
export function decodeShownName(bytes: Uint8Array): string | undefined {
  const name = untilNul(bytes);
  return name.length === 0 ? undefined : new TextDecoder('utf-8', { ignoreBOM: true }).decode(name);
}

function untilNul(bytes: Uint8Array): Uint8Array {
  const end = bytes.indexOf(0);
  return end === -1 ? bytes : bytes.subarray(0, end);
}
