/**
 * The feature name table, by which a reader can name a feature it does not know. Used by the header's
 * encoder and decoder. Specification: "Feature name table".
 */
import { EXTENSION_TYPES, forEachExtension } from './extension-list.js';

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

/** The data of the feature name table's extension. */
export function encodeFeatureNames(features: readonly Feature[]): Uint8Array {
  const bytes = new Uint8Array(features.length * FEATURE_BYTES);
  for (const [index, { kind, mask, name }] of features.entries()) {
    const at = index * FEATURE_BYTES;
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

/** The incompatible features in the image's feature name tables by their bit number. */
function incompatibleFeatureNames(list: Uint8Array): Map<number, string> {
  const names = new Map<number, string>();
  forEachExtension(list, (type, table) => {
    if (type !== EXTENSION_TYPES.featureNames) return;
    for (let at = 0; at + FEATURE_BYTES <= table.length; at += FEATURE_BYTES) {
      const [kind, bit = 0] = table.subarray(at, at + 2);
      const name = Buffer.from(table.subarray(at + 2, at + FEATURE_BYTES)).toString('latin1');
      if (kind === KIND_NUMBERS.incompatible) names.set(bit, name.replace(/\0.*$/s, ''));
    }
  });
  return names;
}
