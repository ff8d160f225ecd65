/**
 * The digest of a virtual disk, as blkhash 0.9 and newer define it: the SHA-256 of a list that holds the SHA-256 of
 * each block of 64 KiB (the last block may be shorter), and then the length of the disk in bytes as a 64-bit
 * little-endian number. Workers compute the digests of blocks; `DiskDigest` joins them in guest order.
 */
import { crypto } from '../system/late-modules.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';

const BLOCK_BYTES = 65536;
const DIGEST_BYTES = 32;

const ZEROS = new Uint8Array(BLOCK_BYTES);
/** The digest of a block of zeros. */
const ZERO_DIGEST = Buffer.from('de2f256064a0af797747c2b97505dc0b9f3df0de4f489eac731c23ae9ca9cc31', 'hex');

function sha256(bytes: Uint8Array): Buffer {
  return crypto().hash('sha256', bytes, 'buffer');
}

/**
 * @param bytes of the disk; they begin with a block, and end with a block or with the disk
 * @returns the digests of the blocks, one after the other. A block of zeros is recognised and not hashed
 */
export function blockDigests(bytes: Uint8Array): Uint8Array {
  const digests = new Uint8Array(Math.ceil(bytes.length / BLOCK_BYTES) * DIGEST_BYTES);
  for (let at = 0, to = 0; at < bytes.length; at += BLOCK_BYTES, to += DIGEST_BYTES) {
    const block = bytes.subarray(at, at + BLOCK_BYTES);
    digests.set(Buffer.compare(block, ZEROS) === 0 ? ZERO_DIGEST : sha256(block), to);
  }
  return digests;
}

/** The digest of a disk, from the digests of its blocks. */
export class DiskDigest {
  readonly #hash = crypto().createHash('sha256');
  readonly #signal: AbortSignal | undefined;
  /** Digests of blocks of zeros, so that a run of zeros is hashed in large pieces. */
  readonly #zeroDigests = Buffer.alloc(8192 * DIGEST_BYTES, ZERO_DIGEST);
  /** The end of the added blocks, in bytes. */
  #end = 0;

  constructor(signal?: AbortSignal) {
    this.#signal = signal;
  }

  /**
   * Adds a range. Bytes between the previous range and this one are zeros.
   * @param guestOffset bytes, a multiple of BLOCK_BYTES, after the previous range
   * @param digests of its blocks. Only the last range of a disk may end inside a block
   * @throws Qcow2cError ERR_ABORTED
   */
  async add(guestOffset: number, digests: Uint8Array): Promise<void> {
    await this.#addZeros(guestOffset);
    this.#hash.update(digests);
    this.#end = guestOffset + (digests.length / DIGEST_BYTES) * BLOCK_BYTES;
  }

  /**
   * Ends the disk. Bytes after the last range are zeros.
   * @param size of the disk in bytes
   * @returns the digest in hexadecimal
   * @throws Qcow2cError ERR_ABORTED
   */
  async end(size: number): Promise<string> {
    await this.#addZeros(size);
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(size));
    return this.#hash.update(length).digest('hex');
  }

  /** Adds zeros up to `end`. */
  async #addZeros(end: number): Promise<void> {
    for (let blocks = Math.floor((end - this.#end) / BLOCK_BYTES); blocks > 0; ) {
      await yieldToEventLoop(this.#signal);
      const part = Math.min(blocks, this.#zeroDigests.length / DIGEST_BYTES);
      this.#hash.update(this.#zeroDigests.subarray(0, part * DIGEST_BYTES));
      this.#end += part * BLOCK_BYTES;
      blocks -= part;
    }
    // The last block of a disk may be shorter.
    if (end > this.#end) this.#hash.update(sha256(ZEROS.subarray(0, end - this.#end)));
  }
}
