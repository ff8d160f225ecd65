/**
 * The list of extensions behind the header, and the one this program reads and writes in it: the feature
 * name table, by which a reader can name a feature it does not know. Specification: "Header extensions".
 *
 *     every extension: type (4 bytes), length (4 bytes), data, padding to a multiple of 8
 *     the last one:    type 0, length 0
 */
import { readU32, writeU32 } from './be64.js';

const END = 0;
const FEATURE_NAME_TABLE = 0x6803f857;
/** Type and length. */
const PREFIX_BYTES = 8;
/** Of a feature in the table: kind, bit number, 46 bytes of name. */
const FEATURE_BYTES = 48;

/** A feature's kind is the header field that holds its bit; these are the kinds' numbers in the table. */
const KIND_NUMBERS = { incompatible: 0, compatible: 1, autoclear: 2 } as const;

export interface Feature {
  readonly kind: keyof typeof KIND_NUMBERS;
  /** The one bit of the feature in its header field. */
  readonly mask: bigint;
  /** At most 46 ASCII characters. */
  readonly name: string;
}

/** @returns the extension list: a feature name table when there is a feature to name, and the end */
export function encodeExtensions(features: readonly Feature[]): Uint8Array {
  if (features.length === 0) return new Uint8Array(PREFIX_BYTES);
  const length = features.length * FEATURE_BYTES;
  const bytes = new Uint8Array(PREFIX_BYTES + length + PREFIX_BYTES);
  writeU32(bytes, 0, FEATURE_NAME_TABLE);
  writeU32(bytes, 4, length);
  for (const [index, { kind, mask, name }] of features.entries()) {
    const at = PREFIX_BYTES + index * FEATURE_BYTES;
    bytes[at] = KIND_NUMBERS[kind];
    bytes[at + 1] = mask.toString(2).length - 1;
    bytes.set(Buffer.from(name, 'latin1'), at + 2);
  }
  return bytes;
}

/**
 * What the image calls incompatible features. For a message about an image that is refused anyway, so a
 * broken list gives fewer names, not another error.
 * @param list what is known of the image's extension list, from its first byte
 * @param bits the features in question
 * @returns a name for each bit set, the lowest first: the image's own, otherwise "bit N"
 */
export function nameIncompatibleFeatures(list: Uint8Array, bits: bigint): string[] {
  const names = incompatibleFeatureNames(list);
  const result: string[] = [];
  for (let bit = 0; bits >> BigInt(bit) !== 0n; bit += 1) {
    if (((bits >> BigInt(bit)) & 1n) !== 0n) result.push(names.get(bit) ?? `bit ${bit}`);
  }
  return result;
}

/** The incompatible features in the image's feature name table by their bit number. */
function incompatibleFeatureNames(list: Uint8Array): Map<number, string> {
  const names = new Map<number, string>();
  const table = findExtension(list, FEATURE_NAME_TABLE);
  for (let at = 0; at + FEATURE_BYTES <= table.length; at += FEATURE_BYTES) {
    const [kind, bit = 0] = table.subarray(at, at + 2);
    const name = Buffer.from(table.subarray(at + 2, at + FEATURE_BYTES)).toString('latin1');
    if (kind === KIND_NUMBERS.incompatible) names.set(bit, name.replace(/\0.*$/s, ''));
  }
  return names;
}

/** The data of the first extension of a type; empty when there is none or it does not end inside the list. */
function findExtension(list: Uint8Array, type: number): Uint8Array {
  for (let at = 0; at + PREFIX_BYTES <= list.length; ) {
    const data = at + PREFIX_BYTES;
    const end = data + readU32(list, at + 4);
    if (readU32(list, at) === END || end > list.length) break;
    if (readU32(list, at) === type) return list.subarray(data, end);
    at = Math.ceil(end / 8) * 8;
  }
  return new Uint8Array(0);
}
