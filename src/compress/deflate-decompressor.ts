/**
 * Reads deflate payloads as QEMU does, which calls zlib's inflate once for all of a cluster (block/qcow2-threads.c,
 * qcow2_zlib_decompress). libdeflate is faster and takes more than zlib, so it reads only streams on which the two
 * cannot differ; `isAlikeForAll` says which. zlib reads the others, and what neither takes is decided symbol by symbol.
 */
import type { Decompressor, Inflater } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { DeflateBits, DeflateStop } from './deflate-bits.js';
import { type DecodedStream, DeflateDecoder } from './deflate-decoder.js';
import { DynamicBlock } from './dynamic-block.js';
import { completenessOf } from './huffman-table.js';

/** The longest header of a dynamic block: 3 + 14 + 19 x 3 bits, and 316 code lengths of 7 + 7 bits at most. */
const MOST_HEADER_BYTES = Math.ceil((3 + 14 + 19 * 3 + 316 * 14) / 8);

export class DeflateDecompressor implements Decompressor {
  readonly #fast: Inflater | undefined;
  readonly #zlib: Inflater;
  readonly #decoder = new DeflateDecoder();
  readonly #bits = new DeflateBits();
  readonly #block = new DynamicBlock();

  /** @param zlib takes what zlib takes @param fast may take more */
  constructor(zlib: Inflater, fast?: Inflater) {
    this.#zlib = zlib;
    this.#fast = fast;
  }

  decompress(input: Uint8Array, output: Uint8Array): number {
    const inflater = this.#fast !== undefined && this.#isAlikeForAll(input) ? this.#fast : this.#zlib;
    const taken = inflater.inflate(input, output);
    if (taken !== undefined) return taken;
    const decoded = this.#decoder.decode(input, output);
    const isWhole = decoded.made === output.length;
    if (isWhole && decoded.end === 'final') return decoded.taken;
    // QEMU takes a full cluster unless zlib has found something wrong by then, be it behind the cluster.
    const isReadable = isWhole && decoded.end === 'open';
    throw new CorruptPayload(reasonOf(decoded, isWhole), { isReadable });
  }

  salvage(input: Uint8Array, output: Uint8Array): number {
    return this.#decoder.decode(input, output, true).made;
  }

  free(): void {
    this.#zlib.free();
    this.#fast?.free();
  }

  /**
   * Whether every decoder that takes the stream makes the same of it. True for one stored block, and for one dynamic block
   * whose header follows all rules and whose codes are complete. Decoders differ only in symbols without a meaning
   * (length symbols 286 and 287, distance symbols 30 and 31, which such a header cannot declare), in bits that begin no
   * code (a complete code has none) and in headers that break the rules. All other streams are left to zlib: those of a
   * fixed block, which has codes for symbols without a meaning, and those of several blocks, whose other headers cannot
   * be found without decoding every symbol before them.
   */
  #isAlikeForAll(input: Uint8Array): boolean {
    const header = input[0] ?? 0;
    const isFinal = (header & 1) === 1;
    const type = (header >> 1) & 3;
    if (!isFinal || type === 1) return false;
    if (type === 0) return true;
    const bits = this.#bits;
    const block = this.#block;
    try {
      bits.load(input.subarray(0, MOST_HEADER_BYTES));
      bits.take(3);
      if (type !== 2) return false;
      block.read(bits, false);
    } catch (error) {
      if (error instanceof DeflateStop) return false;
      throw error;
    }
    const { lengths, lengthSymbols, distanceSymbols } = block;
    return (
      completenessOf(lengths, 0, lengthSymbols) === 'complete' &&
      completenessOf(lengths, lengthSymbols, distanceSymbols) === 'complete'
    );
  }
}

function reasonOf({ made, end, flaw, isUnfinished }: DecodedStream, isWhole: boolean): string {
  if (isUnfinished) return 'the deflate stream has no final block where the cluster ends';
  if (isWhole) return 'the deflate stream yields more bytes than a cluster';
  switch (end) {
    case 'final':
      return `the deflate stream yields fewer bytes than a cluster: ${made}`;
    case 'open':
      return `the deflate stream is cut off: it yields ${made} bytes`;
    case 'broken':
      return `the deflate stream is broken after ${made} bytes: ${flaw}`;
  }
}
