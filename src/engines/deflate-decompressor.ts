/**
 * Reads deflate payloads as QEMU does, which calls zlib's inflate once for a whole cluster (block/qcow2-threads.c,
 * qcow2_zlib_decompress). Streams that zlib refuses are decoded symbol by symbol, because QEMU reads some of them.
 */
import type { Decompressor, Inflater } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { type DecodedStream, DeflateDecoder } from './deflate-decoder.js';

export class DeflateDecompressor implements Decompressor {
  readonly #fast: Inflater | undefined;
  readonly #zlib: Inflater;
  readonly #decoder = new DeflateDecoder();

  /** @param zlib accepts the same streams as zlib @param fast accepts some of them, faster */
  constructor(zlib: Inflater, fast?: Inflater) {
    this.#zlib = zlib;
    this.#fast = fast;
  }

  decompress(input: Uint8Array, output: Uint8Array): number {
    const taken = this.#fast?.inflate(input, output) ?? this.#zlib.inflate(input, output);
    if (taken !== undefined) return taken;
    const decoded = this.#decoder.decode(input, output);
    const isWhole = decoded.made === output.length;
    if (isWhole && decoded.end === 'final') return decoded.taken;
    // QEMU accepts a full cluster unless zlib has found an error by then, even one after the cluster.
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
