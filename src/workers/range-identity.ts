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

/** Whether two ranges begin with the same byte of a file, or with zeros; then they are equal as far as both go. */
export function isSameRange(a: MappedRange, b: MappedRange, identityOf: IdentityOf): boolean {
  const isSameFile = (one: number, other: number) => one === other || identityOf(one) === identityOf(other);
  if (a.kind === 'zero') return b.kind === 'zero';
  if (a.kind === 'data') {
    return b.kind === 'data' && a.offset === b.offset && isSameFile(a.descriptor, b.descriptor);
  }
  if (a.kind !== 'compressed' || b.kind !== 'compressed' || a.skip !== b.skip) return false;
  const [one, other] = [a.payload, b.payload];
  return (
    one.offset === other.offset &&
    one.storedLength === other.storedLength &&
    one.type === other.type &&
    one.clusterSize === other.clusterSize &&
    isSameFile(one.descriptor, other.descriptor)
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
