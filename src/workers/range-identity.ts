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

/** Whether two ranges are the same bytes of a file, or zeros, as far as both go. */
export function isSameRange(a: MappedRange, b: MappedRange, identityOf: IdentityOf): boolean {
  const isSameFile = (one: number, other: number) => one === other || identityOf(one) === identityOf(other);
  if (a.kind === 'zero') return b.kind === 'zero';
  if (a.kind === 'data') {
    return b.kind === 'data' && a.offset === b.offset && isSameFile(a.descriptor, b.descriptor);
  }
  if (a.kind !== 'compressed' || b.kind !== 'compressed') return false;
  const length = Math.min(a.length, b.length);
  const [one, other] = [cutPayloads(a.payloads, a.skip, length), cutPayloads(b.payloads, b.skip, length)];
  return (
    one.skip === other.skip &&
    one.payloads.type === other.payloads.type &&
    one.payloads.clusterSize === other.payloads.clusterSize &&
    one.payloads.places.every((place, index) => place === other.payloads.places[index]) &&
    isSameFile(one.payloads.descriptor, other.payloads.descriptor)
  );
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
