/**
 * Where ranges of disks lie: the same byte of the same file is equal to itself, and nobody has to read it. Used by
 * whoever compares disks.
 */
import { fstatSync } from 'node:fs';
import { ioError, quoted } from '../errors.js';
import type { MappedRange } from '../image/source.js';
import { fileIdentity } from '../system/file-identity.js';

/**
 * @returns a word that is the same for every descriptor of one file, and for no other
 * @throws Qcow2cError ERR_IO
 */
export type IdentityOf = (descriptor: number) => string;

/**
 * @returns a word that is the same for ranges that begin with the same byte of a file or of zeros; undefined:
 *   nobody can tell
 */
export function rangeIdentity(range: MappedRange, identityOf: IdentityOf): string | undefined {
  switch (range.kind) {
    case 'zero':
      return 'zero';
    case 'data':
      return `data ${identityOf(range.descriptor)} ${range.offset}`;
    case 'compressed': {
      const { descriptor, offset, storedLength, type, clusterSize } = range.payload;
      return `${type} ${identityOf(descriptor)} ${offset} ${storedLength} ${clusterSize} ${range.skip}`;
    }
    case 'unreadable':
      return undefined;
  }
}

/**
 * Asks the system once for each descriptor.
 * @param fileOf names the file behind a descriptor, for messages
 * @returns valid for as long as they are open
 */
export function openFileIdentities(fileOf: (descriptor: number) => string): IdentityOf {
  const known = new Map<number, string>();
  return (descriptor) => {
    let identity = known.get(descriptor);
    if (identity === undefined) {
      try {
        identity = fileIdentity(fstatSync(descriptor, { bigint: true }));
      } catch (error) {
        const file = fileOf(descriptor);
        throw ioError(`Could not find out which file ${quoted(file)} is`, error, { file });
      }
      known.set(descriptor, identity);
    }
    return identity;
  };
}
