/**
 * The one interface behind which every compression engine stands. Engines are synchronous: they run
 * in worker threads and do nothing else there.
 */
import type { CompressionType } from '../compression-type.js';

/** The engines that are libraries of the system. `isal` only compresses. */
export type NativeEngine = 'isal' | 'libdeflate' | 'libzstd';

/** The engines by the library that does the work. `node` is the zlib and zstd built into Node.js. */
export type EngineName = NativeEngine | 'node';

/** The engines that inflate as well. */
export type InflatingEngine = Exclude<EngineName, 'isal'>;

/** What makes a compressor: plain data, so that the main thread chooses once and the workers follow. */
export interface CompressorChoice {
  readonly type: CompressionType;
  readonly engine: EngineName;
  readonly level: number;
  /** Level for clusters that hold binary tables; undefined: the same. libdeflate only. */
  readonly tableLevel?: number | undefined;
  /** log2 of the entries of the hash table; undefined: as the level has it. libzstd only. */
  readonly hashLog?: number | undefined;
  /** Window of deflate in bits: 15 (32 KiB) or 12 (4 KiB, what qemu itself writes; engine `node` only). */
  readonly windowBits: 12 | 15;
  /** The shared library of a native engine; undefined for `node`. */
  readonly library?: string | undefined;
  /** Whether each payload is inflated and compared before it is used. */
  readonly checks?: boolean | undefined;
  /** Why the bytes are not those of the same engine on other machines; undefined: they are. */
  readonly unportable?: string | undefined;
}

export interface Compressor {
  /**
   * Compresses all of `input` into `output`.
   * @returns the number of bytes written, or 0 when the result does not fit into `output`
   * @throws Qcow2cError ERR_ENGINE when the engine fails for another reason
   */
  compress(input: Uint8Array, output: Uint8Array): number;
  /** Of those made so far, how many were wrong at first; undefined: nobody has looked. */
  readonly corrected?: number;
  /** Frees what the engine holds outside the JavaScript heap. Call once. */
  free(): void;
}

/** Takes a payload exactly when QEMU does, on any machine and by any engine. */
export interface Decompressor {
  /**
   * Fills exactly all of `output` from the payload at the start of `input`: one deflate stream, or zstd frames. Trailing
   * bytes are ignored (the format knows a payload's length only to the sector).
   * @returns how many bytes of `input` the payload took, without the trailing ones
   * @throws CorruptPayload for any other payload. Its `isReadable` says whether QEMU reads a cluster of it all the
   *   same, which `output` then holds. Qcow2cError ERR_ENGINE when the engine has no memory
   */
  decompress(input: Uint8Array, output: Uint8Array): number;
  /**
   * Inflates what can be had of a payload that `decompress` does not take, by looser rules. Slow.
   * @param input without what the file does not have
   * @returns how many bytes of `output` it filled, from its start
   */
  salvage(input: Uint8Array, output: Uint8Array): number;
  /** Frees what the engine holds outside the JavaScript heap. Call once. */
  free(): void;
}

/** Inflates deflate streams fast. */
export interface Inflater {
  /**
   * Fills exactly all of `output` from the stream at the start of `input`.
   * @returns how many bytes of `input` the stream took; undefined when it is not one of exactly `output.length` bytes
   */
  inflate(input: Uint8Array, output: Uint8Array): number | undefined;
  free(): void;
}

/** Tells how far a stream went that need not fill the output. */
export interface BlockInflater extends Inflater {
  /** @returns bytes taken, the last one perhaps in part, and bytes made; undefined when it refuses the stream */
  inflateStream(
    input: Uint8Array,
    output: Uint8Array,
  ): { readonly taken: number; readonly made: number } | undefined;
}
