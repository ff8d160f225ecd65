/** Decides by their maps whether two ranges are the same bytes of a file, which then need not be read and compared. */
import { fstatSync } from 'node:fs';
import { ioError, quoted } from '../errors.js';
import { cutPayloads } from '../image/range-slice.js';
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
  const [one, other] = [cutPayloads(a.payloads, a.skip, 1), cutPayloads(b.payloads, b.skip, 1)];
  return (
    one.skip === other.skip &&
    one.payloads.type === other.payloads.type &&
    one.payloads.clusterSize === other.payloads.clusterSize &&
    one.payloads.places.every((place, index) => place === other.payloads.places[index]) &&
    isSameFile(one.payloads.descriptor, other.payloads.descriptor)
  );
}

/**
 * Limits two ranges: where both are runs of payloads, either all clusters have the same payload in both, or none has.
 * @returns bytes from their start
 */
export function evenLength(a: MappedRange, b: MappedRange): number {
  const length = Math.min(a.length, b.length);
  if (a.kind !== 'compressed' || b.kind !== 'compressed') return length;
  const { clusterSize } = a.payloads;
  const inCluster = a.skip % clusterSize;
  if (b.payloads.clusterSize !== clusterSize || b.skip % clusterSize !== inCluster) return length;
  const [first, otherFirst] = [(a.skip - inCluster) / clusterSize, (b.skip - inCluster) / clusterSize];
  const isShared = (index: number) =>
    [0, 1].every(
      (field) =>
        a.payloads.places[2 * (first + index) + field] ===
        b.payloads.places[2 * (otherFirst + index) + field],
    );
  const atStart = isShared(0);
  let end = clusterSize - inCluster;
  for (let index = 1; end < length && isShared(index) === atStart; index += 1) end += clusterSize;
  return Math.min(end, length);
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
