/**
 * The portable engine for zstd: the one built into Node.js since 22.15, for the workers. Typed by hand
 * and looked up at run time because older releases, which are supported too, lack it.
 */
import * as zlib from 'node:zlib';
import { Qcow2cError } from '../errors.js';
import type { Compressor, Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { zstdFrameSize } from './zstd-frame.js';

/** What is used of it. */
interface NodeZstd {
  zstdCompressSync(input: Uint8Array, options: ZstdOptions): Buffer;
  zstdDecompressSync(input: Uint8Array, options: ZstdOptions): Buffer;
}

interface ZstdOptions {
  readonly chunkSize: number;
  readonly maxOutputLength?: number;
  readonly params?: Readonly<Record<number, number>>;
}

/** ZSTD_c_compressionLevel of zstd.h. */
const PARAMETER_COMPRESSION_LEVEL = 100;

/** zlib's wrapper in Node.js takes no smaller output buffer. */
const SMALLEST_BUFFER = 64;

/** @returns whether this Node.js has zstd */
export function hasNodeZstd(): boolean {
  return 'zstdCompressSync' in zlib && 'zstdDecompressSync' in zlib;
}

function nodeZstd(): NodeZstd {
  if (!hasNodeZstd()) throw new Qcow2cError('ERR_ENGINE', 'This Node.js has no zstd');
  return zlib as unknown as NodeZstd;
}

export class NodeZstdCompressor implements Compressor {
  readonly #zstd = nodeZstd();
  readonly #level: number;

  /** @param level 1 to 19, checked where the engine is chosen */
  constructor(level: number) {
    this.#level = level;
  }

  compress(input: Uint8Array, output: Uint8Array): number {
    const compressed = this.#zstd.zstdCompressSync(input, {
      chunkSize: Math.max(SMALLEST_BUFFER, output.length + 1),
      params: { [PARAMETER_COMPRESSION_LEVEL]: this.#level },
    });
    if (compressed.length > output.length) return 0;
    output.set(compressed);
    return compressed.length;
  }

  free(): void {}
}

export class NodeZstdDecompressor implements Decompressor {
  readonly #zstd = nodeZstd();

  decompress(input: Uint8Array, output: Uint8Array): number {
    const frameSize = zstdFrameSize(input);
    let cluster: Buffer;
    try {
      cluster = this.#zstd.zstdDecompressSync(input.subarray(0, frameSize), {
        chunkSize: Math.max(SMALLEST_BUFFER, output.length + 1),
        maxOutputLength: output.length,
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
        throw new CorruptPayload('the zstd frame yields more bytes than a cluster', error);
      }
      throw new CorruptPayload('the zstd frame is broken', error);
    }
    if (cluster.length < output.length) {
      throw new CorruptPayload('the zstd frame yields fewer bytes than a cluster');
    }
    output.set(cluster);
    return frameSize;
  }

  free(): void {}
}
