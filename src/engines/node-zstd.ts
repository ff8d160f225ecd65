/**
 * The portable engine for zstd: the one built into Node.js since 22.15, for the workers. Typed by hand and looked up at
 * run time, because older supported releases lack it.
 */
import { Qcow2cError } from '../errors.js';
import { zlib } from '../system/late-modules.js';
import type { Compressor, Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { FEWER_BYTES, frameKind, readZstdFrame, skippableFrameEnd } from './zstd-frame.js';
import { salvageFrames } from './zstd-salvage.js';

/** The functions used here. */
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

/** Node.js refuses a smaller output buffer. */
const SMALLEST_BUFFER = 64;

/** @returns whether this Node.js has zstd */
export function hasNodeZstd(): boolean {
  const module = zlib();
  return 'zstdCompressSync' in module && 'zstdDecompressSync' in module;
}

function nodeZstd(): NodeZstd {
  if (!hasNodeZstd()) throw new Qcow2cError('ERR_ENGINE', 'This Node.js has no zstd');
  return zlib() as unknown as NodeZstd;
}

export class NodeZstdCompressor implements Compressor {
  readonly #zstd = nodeZstd();
  readonly #level: number;

  /** @param level 1 to 19, checked when the engine is chosen */
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

/** Reads payloads frame by frame, as QEMU does. */
export class NodeZstdDecompressor implements Decompressor {
  readonly #zstd = nodeZstd();

  decompress(input: Uint8Array, output: Uint8Array): number {
    let at = 0;
    let made = 0;
    while (made < output.length) {
      const kind = frameKind(input, at);
      if (kind === 'skippable') {
        at = skippableFrameEnd(input, at);
        continue;
      }
      if (kind === 'none' && at > 0) throw new CorruptPayload(FEWER_BYTES);
      const frame = input.subarray(at);
      const { length } = readZstdFrame(frame);
      const content = this.#inflate(frame.subarray(0, length), output.length - made);
      output.set(content, made);
      made += content.length;
      at += length;
    }
    return at;
  }

  salvage(input: Uint8Array, output: Uint8Array): number {
    return salvageFrames(input, output, (frame, room) => {
      try {
        const content = this.#inflate(frame, room.length);
        room.set(content);
        return content.length;
      } catch (error) {
        if (error instanceof CorruptPayload) return undefined;
        throw error;
      }
    });
  }

  free(): void {}

  /** @param room maximum output of one frame, in bytes */
  #inflate(frame: Uint8Array, room: number): Buffer {
    try {
      return this.#zstd.zstdDecompressSync(frame, {
        chunkSize: Math.max(SMALLEST_BUFFER, room + 1),
        maxOutputLength: room,
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') {
        throw new CorruptPayload('the zstd frame yields more bytes than a cluster', { cause: error });
      }
      throw new CorruptPayload('the zstd frame is broken', { cause: error });
    }
  }
}
