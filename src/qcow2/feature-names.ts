/**
 * The feature name table, from which readers take the names of unknown features. Specification: "Feature name table".
 */
import { EXTENSION_TYPES, forEachExtension } from './extension-list.js';

/** Bytes of an entry: kind, bit number, 46 bytes of name. */
const FEATURE_BYTES = 48;

/** Numbers of the kinds in the table. A feature's kind is the header field with its bit. */
const KIND_NUMBERS = { incompatible: 0, compatible: 1, autoclear: 2 } as const;

export interface Feature {
  readonly kind: keyof typeof KIND_NUMBERS;
  /** The feature's bit in its header field. */
  readonly mask: bigint;
  /** At most 46 ASCII characters. */
  readonly name: string;
}

/** Encodes the data of the feature name table. */
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
 * Names incompatible features for a message that refuses the image. A broken list gives fewer names, not another
 * error.
 * @param list the known part of the image's extension list, from its first byte
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

/** Collects the names of incompatible features from the image's feature name tables, by bit number. */
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
