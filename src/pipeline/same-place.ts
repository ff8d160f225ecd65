/**
 * Where ranges of disks lie: the same byte of the same file is equal to itself, and nobody has to read it. Used by
 * whoever compares disks.
 */
import { fstatSync } from 'node:fs';
import type { MappedRange } from '../image/source.js';
import { identityOf } from '../raw/raw-source.js';

/** @returns a word that is the same for every descriptor of one file, and for no other */
export type IdentityOf = (descriptor: number) => string;

/**
 * @returns a word that is the same for ranges that begin with the same byte of a file or of zeros; undefined:
 *   nobody can tell
 */
export function placeOf(range: MappedRange, identityOf: IdentityOf): string | undefined {
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

/** Asks the system once for each descriptor. @returns valid for as long as they are open */
export function openFileIdentities(): IdentityOf {
  const known = new Map<number, string>();
  return (descriptor) => {
    let identity = known.get(descriptor);
    if (identity === undefined) {
      identity = identityOf(fstatSync(descriptor, { bigint: true }));
      known.set(descriptor, identity);
    }
    return identity;
  };
}
