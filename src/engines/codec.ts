/** The interface of every compression engine. Engines are synchronous; they run in worker threads. */
import type { CompressionType } from '../compression-type.js';

/** The engines by the library that does the work. `node` is the zlib and zstd built into Node.js. */
export const ENGINE_NAMES = ['isal', 'libdeflate', 'libzstd', 'node'] as const;
export type EngineName = (typeof ENGINE_NAMES)[number];

/** The engines that are libraries of the system. `isal` only compresses. */
export type NativeEngine = Exclude<EngineName, 'node'>;

/** The engines that can inflate. */
export type InflatingEngine = Exclude<EngineName, 'isal'>;

/** One engine at one level. */
export interface EngineLevel {
  readonly engine: EngineName;
  readonly level: number;
  /** The shared library of a native engine; undefined for `node`. */
  readonly library?: string | undefined;
  /** libzstd: log2 of the entries of its search tables; undefined: the level's own. */
  readonly tableLog?: number | undefined;
}

/** The parameters of a compressor. They are plain data: the main thread chooses once and sends them to the workers. */
export interface CompressorChoice extends EngineLevel {
  readonly type: CompressionType;
  /** Instead of the engine and level: one of these for each cluster, by its step (level-by-content.ts). */
  readonly byContent?: readonly EngineLevel[] | undefined;
  /** Window of deflate in bits: 15 (32 KiB) or 12 (4 KiB, what qemu itself writes; engine `node` only). */
  readonly windowBits: 12 | 15;
  /** Whether each payload is inflated and compared before use. */
  readonly checks?: boolean | undefined;
  /** The reason why the output differs from the same engine's on other machines; undefined: it does not. */
  readonly unportable?: string | undefined;
}

export interface Compressor {
  /**
   * Compresses all of `input` into `output`.
   * @returns the number of bytes written, or 0 when the result does not fit into `output`
   * @throws Qcow2cError ERR_ENGINE when the engine fails for another reason
   */
  compress(input: Uint8Array, output: Uint8Array): number;
  /** The number of payloads so far that were wrong at first; undefined: payloads are not checked. */
  readonly corrected?: number;
  /** Frees what the engine holds outside the JavaScript heap. Call once. */
  free(): void;
}

/** Accepts a payload exactly if QEMU does, on every machine and with every engine. */
export interface Decompressor {
  /**
   * Fills exactly all of `output` from the payload at the start of `input`: one deflate stream, or zstd frames. Trailing
   * bytes are ignored (the format knows a payload's length only to the sector).
   * @returns the length of the payload in bytes, without trailing bytes
   * @throws CorruptPayload for any other payload. Its `isReadable` says whether QEMU reads the cluster nevertheless;
   *   `output` then holds it. Qcow2cError ERR_ENGINE if the engine is out of memory
   */
  decompress(input: Uint8Array, output: Uint8Array): number;
  /**
   * Inflates as much as possible of a payload that `decompress` refuses, by less strict rules. Slow.
   * @param input only the bytes that the file has
   * @returns number of bytes written to `output`, from its start
   */
  salvage(input: Uint8Array, output: Uint8Array): number;
  /** Frees what the engine holds outside the JavaScript heap. Call once. */
  free(): void;
}

/** A fast decoder of deflate streams. */
export interface Inflater {
  /**
   * Fills exactly all of `output` from the stream at the start of `input`.
   * @returns the length of the stream in bytes; undefined if it does not yield exactly `output.length` bytes
   */
  inflate(input: Uint8Array, output: Uint8Array): number | undefined;
  free(): void;
}

/** Also decodes streams that do not fill the output. */
export interface BlockInflater extends Inflater {
  /** @returns bytes read, the last one possibly in part, and bytes written; undefined if it refuses the stream */
  inflateStream(
    input: Uint8Array,
    output: Uint8Array,
  ): { readonly taken: number; readonly made: number } | undefined;
}
