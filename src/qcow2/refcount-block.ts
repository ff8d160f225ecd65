/**
 * The refcounts in a refcount block: big-endian numbers of 1 to 64 bits, packed without gaps. Specification: "Host
 * cluster management", refcount block entry.
 *
 *     64, 32, 16, 8 bits  one big-endian number each
 *     4, 2, 1 bits        entry 0 of a byte in its least significant bits, the next one above it
 */
import { internalError } from '../errors.js';
import { narrow, readU32, readU64, writeU32, writeU64 } from './be64.js';

/** Stands for a refcount of 2^32 - 1 or more. */
export const LARGE_REFCOUNT = 0xffffffff;

/** Byte and bit of entry `index`. @throws Qcow2cError ERR_INTERNAL outside the block */
function locate(block: Uint8Array, index: number, bits: number): { at: number; shift: number } {
  const firstBit = index * bits;
  if (!Number.isInteger(index) || index < 0 || firstBit + bits > block.length * 8) {
    throw internalError(`refcount ${index} of ${bits} bits in a block of ${block.length} bytes`);
  }
  return { at: Math.floor(firstBit / 8), shift: firstBit % 8 };
}

/**
 * @param block one refcount block
 * @param index of the entry in the block
 * @param bits width of an entry: 1, 2, 4, 8, 16, 32 or 64
 * @throws Qcow2cError ERR_CORRUPT for a 64-bit refcount past 2^53 - 1
 */
export function getRefcount(block: Uint8Array, index: number, bits: number): number {
  const { at, shift } = locate(block, index, bits);
  const byte = (i: number) => block[i] ?? 0;
  if (bits === 64) return narrow(readU64(block, at), 'A refcount');
  if (bits === 32) return readU32(block, at);
  if (bits === 16) return byte(at) * 256 + byte(at + 1);
  return (byte(at) >> shift) & (2 ** bits - 1);
}

/** As `getRefcount`, exact for every width. */
export function getExactRefcount(block: Uint8Array, index: number, bits: number): bigint {
  if (bits === 64) return readU64(block, locate(block, index, bits).at);
  return BigInt(getRefcount(block, index, bits));
}

/** Whether the refcount of entry `index` is not 0. Arguments as in `getRefcount`. */
export function hasReferences(block: Uint8Array, index: number, bits: number): boolean {
  if (bits === 64) return getExactRefcount(block, index, bits) !== 0n;
  return getRefcount(block, index, bits) !== 0;
}

/**
 * Decodes as many refcounts as `into` takes, from the first byte on.
 * @param bits width of an entry, as in `getRefcount`
 * @param into receives them, or LARGE_REFCOUNT
 */
export function unpackRefcounts(bytes: Uint8Array, bits: number, into: Uint32Array): void {
  const count = into.length;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (bits === 16) {
    for (let index = 0; index < count; index += 1) into[index] = view.getUint16(index * 2);
  } else if (bits === 32) {
    for (let index = 0; index < count; index += 1) into[index] = view.getUint32(index * 4);
  } else if (bits === 64) {
    for (let index = 0; index < count; index += 1) {
      into[index] = view.getUint32(index * 8) === 0 ? view.getUint32(index * 8 + 4) : LARGE_REFCOUNT;
    }
  } else {
    const mask = 2 ** bits - 1;
    const inByte = 8 / bits;
    for (let index = 0; index < count; index += 1) {
      const byte = bytes[Math.floor(index / inByte)] as number;
      into[index] = (byte >> ((index % inByte) * bits)) & mask;
    }
  }
}

/**
 * Sets entry `index` to `value` and leaves the others unchanged. Arguments as in `getRefcount`.
 * @throws Qcow2cError ERR_INTERNAL when the value does not fit (the allocator must start a new host cluster)
 */
export function setRefcount(block: Uint8Array, index: number, bits: number, value: number): void {
  const { at, shift } = locate(block, index, bits);
  if (!Number.isSafeInteger(value) || value < 0 || value > 2 ** bits - 1) {
    throw internalError(`a refcount of ${value} in ${bits} bits`);
  }
  if (bits === 64) writeU64(block, at, BigInt(value));
  else if (bits === 32) writeU32(block, at, value);
  else if (bits === 16) {
    block[at] = value >> 8;
    block[at + 1] = value;
  } else {
    const mask = (2 ** bits - 1) << shift;
    block[at] = ((block[at] ?? 0) & ~mask) | (value << shift);
  }
}
