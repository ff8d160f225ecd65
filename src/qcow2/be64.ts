/**
 * The format's big-endian numbers. Only this module converts a 64-bit field of a file to a JavaScript number:
 * `narrow` returns safe integers only.
 */
import { Qcow2cError } from '../errors.js';

const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** The unsigned 64-bit number at byte `at`. @throws RangeError unless all of it is inside `bytes` */
export function readU64(bytes: Uint8Array, at: number): bigint {
  return view(bytes).getBigUint64(at);
}

/** Writes the unsigned 64-bit `value` at byte `at`. @throws RangeError unless all of it fits into `bytes` */
export function writeU64(bytes: Uint8Array, at: number, value: bigint): void {
  view(bytes).setBigUint64(at, value);
}

/** The unsigned 16-bit number at byte `at`. @throws RangeError unless all of it is inside `bytes` */
export function readU16(bytes: Uint8Array, at: number): number {
  return view(bytes).getUint16(at);
}

/** The unsigned 32-bit number at byte `at`. @throws RangeError unless all of it is inside `bytes` */
export function readU32(bytes: Uint8Array, at: number): number {
  return view(bytes).getUint32(at);
}

/** Writes the unsigned 32-bit `value` at byte `at`. @throws RangeError unless all of it fits into `bytes` */
export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  view(bytes).setUint32(at, value);
}

/**
 * Converts a 64-bit field to a number.
 * @param what the field, as the start of a sentence: "The L1 table offset of 'x.qcow2'"
 * @throws Qcow2cError ERR_CORRUPT past 2^53 - 1 (8 PiB)
 */
export function narrow(value: bigint, what: string): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  const expected = `at most ${Number.MAX_SAFE_INTEGER}`;
  const found = value.toString();
  throw new Qcow2cError('ERR_CORRUPT', `${what} is ${found}, expected ${expected}`, { expected, found });
}
