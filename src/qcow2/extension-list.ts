/**
 * The list of extensions after the header, independent of their content. Specification: "Header extensions".
 *
 *     every extension: type (4 bytes), length (4 bytes), data, padding to a multiple of 8
 *     the last one:    type 0, length 0
 */
import { readU32, writeU32 } from './be64.js';

export const EXTENSION_TYPES = {
  end: 0,
  backingFormat: 0xe2792aca,
  dataFile: 0x44415441,
  featureNames: 0x6803f857,
  encryption: 0x0537be77,
  bitmaps: 0x23852875,
} as const;

/** Bytes of type and length. */
export const EXTENSION_PREFIX_BYTES = 8;

/** Bytes of an extension with `length` bytes of data, including its padding. */
function extensionBytes(length: number): number {
  return EXTENSION_PREFIX_BYTES + Math.ceil(length / 8) * 8;
}

/** Encodes one extension with its padding. @param data as specified for the type */
export function encodeExtension(type: number, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(extensionBytes(data.length));
  writeU32(bytes, 0, type);
  writeU32(bytes, 4, data.length);
  bytes.set(data, EXTENSION_PREFIX_BYTES);
  return bytes;
}

/**
 * Visits the extensions of a list in order, up to its end marker or its last byte.
 * @param list the whole list
 * @param visit called with type, data, and offset of the data in the list
 * @returns offset in the list of an extension that ends outside it; undefined for a valid list
 */
export function forEachExtension(
  list: Uint8Array,
  visit: (type: number, data: Uint8Array, at: number) => void,
): number | undefined {
  for (let at = 0; at < list.length; ) {
    const begin = at + EXTENSION_PREFIX_BYTES;
    if (begin > list.length) return at;
    const type = readU32(list, at);
    if (type === EXTENSION_TYPES.end) return undefined;
    const length = readU32(list, at + 4);
    if (begin + length > list.length) return at;
    visit(type, list.subarray(begin, begin + length), begin);
    at += extensionBytes(length);
  }
  return undefined;
}
