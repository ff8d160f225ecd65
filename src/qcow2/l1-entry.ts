/** An entry of an L1 table: the offset of an L2 table. Specification: "Cluster mapping", L1 table entry. */
import { internalError } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import { type HostOffset, hostOffset } from './addresses.js';
import { narrow } from './be64.js';
import { COPIED, OFFSET_MASK } from './entry-bits.js';

interface L1Entry {
  /** Offset of the L2 table; undefined when all of its guest clusters are unallocated. */
  readonly l2TableOffset: HostOffset | undefined;
  readonly copied: boolean;
}

/**
 * Encodes the entry of an L2 table with one reference (`qemu-img check` reports such an entry without bit 63):
 *
 *     bit 63      1 (refcount is one)
 *     bits 56-62  0
 *     bits 9-55   bits 9-55 of the offset
 *     bits 0-8    0
 *
 * @param l2TableOffset bytes, aligned to a cluster, not 0
 * @throws Qcow2cError ERR_INTERNAL for an invalid table offset
 */
export function encodeL1Entry(l2TableOffset: HostOffset): bigint {
  if (l2TableOffset === 0 || l2TableOffset % SECTOR_SIZE !== 0) {
    throw internalError(`an L2 table cannot start at offset ${l2TableOffset}`);
  }
  return COPIED | BigInt(l2TableOffset);
}

/** Decodes an entry. Reserved bits are ignored, as in QEMU. @throws Qcow2cError ERR_CORRUPT past 2^53 - 1 */
export function decodeL1Entry(raw: bigint): L1Entry {
  const offset = narrow(raw & OFFSET_MASK, 'The offset of an L2 table');
  return { l2TableOffset: offset === 0 ? undefined : hostOffset(offset), copied: (raw & COPIED) !== 0n };
}
