/** Decides by their maps whether two ranges are the same bytes of a file, which then need not be read and compared. */
import { fstatSync } from 'node:fs';
import { ioError, quoted } from '../errors.js';
import type { MappedRange } from '../image/source.js';
import { isExportNumber } from '../nbd/open-exports.js';
import { fileIdentity } from '../system/file-identity.js';

/**
 * @returns a string that is the same for every descriptor of one file, and for no other
 * @throws Qcow2cError ERR_IO
 */
export type IdentityOf = (descriptor: number) => string;

/** Whether two ranges begin with the same byte of a file, or with zeros. Then they are equal as far as `evenLength`. */
export function isSameRange(a: MappedRange, b: MappedRange, identityOf: IdentityOf): boolean {
  const isSameFile = (one: number, other: number) => one === other || identityOf(one) === identityOf(other);
  if (a.kind === 'zero') return b.kind === 'zero';
  if (a.kind === 'data') {
    return b.kind === 'data' && a.offset === b.offset && isSameFile(a.descriptor, b.descriptor);
  }
  if (a.kind !== 'compressed' || b.kind !== 'compressed') return false;
  return (
    areClustersAligned(a, b) &&
    a.payloads.type === b.payloads.type &&
    hasPayloadAtSamePlace(a, b, 0) &&
    isSameFile(a.payloads.descriptor, b.payloads.descriptor)
  );
}

/**
 * Limits two ranges: where both are runs of payloads, either all clusters have the same payload in both, or none has.
 * @returns bytes from their start
 */
export function evenLength(a: MappedRange, b: MappedRange): number {
  const length = Math.min(a.length, b.length);
  if (a.kind !== 'compressed' || b.kind !== 'compressed' || !areClustersAligned(a, b)) return length;
  const { clusterSize } = a.payloads;
  const isShared = hasPayloadAtSamePlace(a, b, 0);
  let end = clusterSize - (a.skip % clusterSize);
  for (let index = 1; end < length && hasPayloadAtSamePlace(a, b, index) === isShared; index += 1) {
    end += clusterSize;
  }
  return Math.min(end, length);
}

type CompressedRange = Extract<MappedRange, { readonly kind: 'compressed' }>;

/** Whether clusters of one size begin at the same bytes of both ranges. */
function areClustersAligned({ payloads, skip }: CompressedRange, other: CompressedRange): boolean {
  const { clusterSize } = payloads;
  return other.payloads.clusterSize === clusterSize && other.skip % clusterSize === skip % clusterSize;
}

/** @param index of a cluster, counted from the one in which the ranges begin */
function hasPayloadAtSamePlace(a: CompressedRange, b: CompressedRange, index: number): boolean {
  const [offset, storedLength] = placeOf(a, index);
  const [otherOffset, otherLength] = placeOf(b, index);
  return offset === otherOffset && storedLength === otherLength;
}

function placeOf({ payloads: { places, clusterSize }, skip }: CompressedRange, index: number) {
  const at = 2 * (Math.floor(skip / clusterSize) + index);
  return [places[at], places[at + 1]] as const;
}

/**
 * Asks the system once for each descriptor.
 * @param fileOf names the file behind a descriptor, for messages
 * @returns identities that are valid while the descriptors are open
 */
export function openFileIdentities(fileOf: (descriptor: number) => string): IdentityOf {
  const known = new Map<number, string>();
  return (descriptor) => {
    let identity = known.get(descriptor);
    if (identity === undefined) {
      try {
        // Two names of one export cannot be recognised as the same.
        identity = isExportNumber(descriptor)
          ? `export ${descriptor}`
          : fileIdentity(fstatSync(descriptor, { bigint: true }));
      } catch (error) {
        const file = fileOf(descriptor);
        throw ioError(`Could not find out which file ${quoted(file)} is`, error, { file });
      }
      known.set(descriptor, identity);
    }
    return identity;
  };
}
