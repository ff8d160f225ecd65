/**
 * Decodes an L2 entry from a given subcluster on; without extended entries a cluster is one unit. An entry is
 * accepted only if QEMU accepts it (qcow2_get_host_offset in block/qcow2-cluster.c).
 */
import { Qcow2cError } from '../errors.js';
import { COPIED } from './entry-bits.js';
import { clusterSizeOf, TABLE_ENTRY_BYTES } from './geometry.js';
import { decodeL2Entry, type L2Entry } from './l2-entry.js';
import { isContradictory, SUBCLUSTERS, subclusterRun } from './subclusters.js';

/** Properties of the image that decide how an entry is decoded. */
export interface L2Format {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly extendedL2: boolean;
  /** Whether clusters are in an external data file, each at its guest offset. */
  readonly external: boolean;
}

/** `units`: number of clusters or subclusters with the same state, at least one. */
export type L2Run = {
  readonly units: number;
} /** `host`: offset of the space allocated for the first unit, which holds no valid data, in bytes. */ & (
  | { readonly kind: 'unallocated' | 'zero'; readonly host?: number | undefined }
  /** `host`: offset of the first unit in bytes; the others follow it. */
  | { readonly kind: 'normal'; readonly host: number }
  | { readonly kind: 'compressed'; readonly offset: number; readonly storedLength: number }
  /** The entry is invalid; `reason` is a clause about the cluster. */
  | { readonly kind: 'broken'; readonly reason: string }
);

const UNALLOCATED: L2Run = { kind: 'unallocated', units: 1 };

/** The number of units of a cluster. */
export function unitsOf({ extendedL2 }: Pick<L2Format, 'extendedL2'>): number {
  return extendedL2 ? SUBCLUSTERS : 1;
}

/** @returns the bytes of a unit: of a cluster, or of a subcluster if the image has them */
export function unitSizeOf(format: Pick<L2Format, 'clusterBits' | 'extendedL2'>): number {
  return clusterSizeOf(format) / unitsOf(format);
}

/**
 * @param view holds the entry
 * @param at offset of the entry in `view`, in bytes
 * @param from index of the first unit
 * @param guest offset of the cluster on the disk, in bytes
 * @returns the units from `from` on that have the same state
 */
export function l2Run(format: L2Format, view: DataView, at: number, from: number, guest: number): L2Run {
  const { version, clusterBits, extendedL2, external } = format;
  const raw = view.getBigUint64(at);
  if (raw === 0n && !extendedL2) return UNALLOCATED;
  const units = unitsOf(format) - from;
  const broken = (reason: string): L2Run => ({ kind: 'broken', units, reason });

  let entry: L2Entry;
  try {
    entry = decodeL2Entry(raw, clusterBits);
  } catch (error) {
    if (error instanceof Qcow2cError && error.code === 'ERR_CORRUPT') return broken(error.message);
    throw error;
  }
  if (entry.kind === 'compressed') {
    const { offset, storedLength } = entry;
    if (external) return broken('it is compressed, in an image with an external data file');
    return { kind: 'compressed', units, offset, storedLength };
  }
  // Bit 0 has no meaning in an extended entry: its subclusters have bits of their own.
  const isZero = entry.kind === 'zero' && !extendedL2;
  let host: number | undefined = entry.kind === 'unallocated' ? undefined : entry.offset;
  if (external && host === undefined && !isZero && (raw & COPIED) !== 0n) host = 0;
  if (isZero && version === 2) return broken('it is a zero cluster, which version 2 does not have');
  if (host !== undefined && host % 2 ** clusterBits !== 0) {
    return broken(`its host cluster has the unaligned offset ${host}`);
  }
  if (external && host !== undefined && host !== guest) {
    return broken(`it lies at offset ${host} of the external data file, expected ${guest}`);
  }
  if (!extendedL2) {
    if (isZero) return { kind: 'zero', units, host };
    return host === undefined ? UNALLOCATED : { kind: 'normal', units, host };
  }

  const zero = view.getUint32(at + TABLE_ENTRY_BYTES);
  const data = view.getUint32(at + TABLE_ENTRY_BYTES + 4);
  if (isContradictory(data, zero, host !== undefined)) {
    return broken('its subclusters have contradictory bits');
  }
  const { kind, count } = subclusterRun(data, zero, from);
  const first = host === undefined ? undefined : host + from * unitSizeOf(format);
  return kind === 'normal' ? { kind, units: count, host: first ?? 0 } : { kind, units: count, host: first };
}
