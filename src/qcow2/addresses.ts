/**
 * Offsets and cluster indexes on the virtual disk and in the image file, as types that the compiler keeps apart. All
 * are safe integers, checked when they are created.
 */
import { internalError } from '../errors.js';

declare const brand: unique symbol;
type Branded<Name extends string> = number & { readonly [brand]: Name };

/** A byte offset on the virtual disk. */
export type GuestOffset = Branded<'GuestOffset'>;
/** An index of a cluster on the virtual disk. */
export type GuestCluster = Branded<'GuestCluster'>;
/** A byte offset in the image file. */
export type HostOffset = Branded<'HostOffset'>;
/** An index of a cluster in the image file. */
export type HostCluster = Branded<'HostCluster'>;

function checked(value: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0) throw internalError(`${value} is no ${what}`);
  return value;
}

export const guestOffset = (bytes: number) => checked(bytes, 'guest offset') as GuestOffset;
export const guestCluster = (index: number) => checked(index, 'guest cluster') as GuestCluster;
export const hostOffset = (bytes: number) => checked(bytes, 'host offset') as HostOffset;
export const hostCluster = (index: number) => checked(index, 'host cluster') as HostCluster;
