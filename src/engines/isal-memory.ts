/**
 * Allocates memory for ISA-L's compressor at an address that does not change its output.
 *
 * On x86-64, levels 1 and 2 of ISA-L up to 2.32 hash a register that still contains the address of the stream:
 * `.write_first_byte` in igzip_icf_body_h1_gr_bt.asm enters the second byte of the input in the hash table at
 * crc32c(address >> 16). Therefore the output of one cluster in some thousands depends on the address, which differs
 * between runs. Every address used here has the hash 0.
 */
import { Qcow2cError } from '../errors.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

/** Lower bits of an address are not hashed, nor are bits from 48 on. */
const BLOCK_BITS = 16;
/** The largest hash table has 2^15 entries; smaller ones are indexed by the lower bits of the same hash. */
const HASH_MASK = 2 ** 15 - 1;
/** CRC-32C, lowest bit first. */
const POLYNOMIAL = 0x82f63b78;

/** Addresses lie from 8 to 16 TiB, a range that Linux does not choose by itself. */
const TOP_BIT = 2 ** (43 - BLOCK_BITS);

/** mmap(2). */
const READ_AND_WRITE = 0x1 | 0x2;
const PRIVATE = 0x02;
const ANONYMOUS = process.platform === 'linux' ? 0x20 : 0x1000;
/** MAP_FAILED, read as unsigned. */
const FAILED = 2n ** 64n - 1n;

export class IsalMemory {
  readonly address: bigint;
  /** Zeros at first. */
  readonly bytes: ArrayBuffer;
  readonly #unmap: () => void;

  /**
   * @param length bytes
   * @throws Qcow2cError ERR_ENGINE if the system provides no memory at such an address
   */
  constructor(library: NativeLibrary, length: number) {
    const map = library.system('mmap', 'uint64_t', ['uint64_t', 'size_t', 'int', 'int', 'int', 'int64_t']);
    const unmap = library.system('munmap', 'int', ['uint64_t', 'size_t']);
    this.address = mapAtHashZero(map, unmap, length);
    this.bytes = library.view(this.address, length);
    this.#unmap = () => void unmap(this.address, length);
  }

  /** `bytes` must not be used afterwards. */
  free(): void {
    this.#unmap();
  }
}

function mapAtHashZero(map: NativeFunction, unmap: NativeFunction, length: number): bigint {
  for (const block of blocksOfHashZero()) {
    const wanted = BigInt(block) << BigInt(BLOCK_BITS);
    // Without MAP_FIXED the address is a hint, and memory in use is never replaced.
    const given = BigInt(map(wanted, length, READ_AND_WRITE, PRIVATE | ANONYMOUS, -1, 0) as number | bigint);
    if (given === wanted) return given;
    if (given !== FAILED) unmap(given, length);
  }
  throw new Qcow2cError('ERR_ENGINE', 'the system gave no memory for ISA-L');
}

/** @returns 4096 blocks of addresses with the hash 0, each computed when it is asked for */
export function* blocksOfHashZero(): Generator<number> {
  // A CRC is linear: the XOR of two blocks has the XOR of their hashes. This is Gaussian elimination.
  const pivots: { readonly block: number; readonly hash: number }[] = [];
  const solutions: number[] = [];
  for (let bit = 1; bit <= TOP_BIT; bit *= 2) {
    let [block, hash] = [bit, hashOf(bit)];
    for (const pivot of pivots) {
      if ((hash ^ pivot.hash) < hash) [block, hash] = [block ^ pivot.block, hash ^ pivot.hash];
    }
    if (hash === 0) solutions.push(block);
    else pivots.push({ block, hash });
  }
  // The last solution alone has the top bit, so every block gets it.
  const top = solutions.pop() as number;
  for (let choice = 0; choice < 2 ** solutions.length; choice += 1) {
    yield solutions.reduce(
      (block, solution, index) => ((choice >> index) & 1 ? block ^ solution : block),
      top,
    );
  }
}

/** @param block bits 16 to 47 of an address @returns ISA-L's hash of it */
export function hashOf(block: number): number {
  let hash = block;
  for (let bit = 0; bit < 32; bit += 1) hash = hash & 1 ? (hash >>> 1) ^ POLYNOMIAL : hash >>> 1;
  return hash & HASH_MASK;
}
