/**
 * Inflates through the optional package zlib-sync, for the workers where libdeflate is missing. Keeps
 * memory bounded against both hostile streams and the package's own leak.
 */
import { createRequire } from 'node:module';
import type { Decompressor } from './codec.js';
import { corruptPayload } from './corrupt-payload.js';
import { NodeZlibDecompressor } from './node-zlib.js';

/** What is used of the package; typed by hand because it may not be installed where this is compiled. */
interface ZlibSync {
  readonly Inflate: new (options: { windowBits: number; chunkSize: number }) => Inflate;
  readonly Z_STREAM_END: number;
  readonly Z_SYNC_FLUSH: number;
  readonly Z_FINISH: number;
}

interface Inflate {
  readonly err: number;
  readonly result: Buffer | null;
  push(input: Uint8Array, flush: number): void;
}

const require = createRequire(import.meta.url);

/** @returns the package's version, or undefined when it is not installed or does not load */
export function zlibSyncVersion(): string | undefined {
  try {
    require('zlib-sync');
    return (require('zlib-sync/package.json') as { version: string }).version;
  } catch {
    return undefined;
  }
}

/** @returns a decompressor for raw deflate: zlib-sync's, or node:zlib's without the package */
export function portableInflate(): Decompressor {
  try {
    return new ZlibSyncDecompressor(require('zlib-sync') as ZlibSync);
  } catch {
    return new NodeZlibDecompressor();
  }
}

/** Raw deflate with the largest window, which reads every smaller one. */
const WINDOW_BITS = -15;

/**
 * Bytes given to the package at once. It grows its own buffer without limit while input is left, and
 * deflate yields up to 1032 bytes for each: so at most 16 MiB, whatever the stream claims to hold.
 */
const INPUT_PIECE = 16384;

class ZlibSyncDecompressor implements Decompressor {
  readonly #zlib: ZlibSync;

  constructor(zlib: ZlibSync) {
    this.#zlib = zlib;
  }

  decompress(input: Uint8Array, output: Uint8Array): void {
    const { Inflate, Z_FINISH, Z_STREAM_END, Z_SYNC_FLUSH } = this.#zlib;
    // One byte more than a cluster, so that a stream that yields more shows.
    const inflate = new Inflate({ windowBits: WINDOW_BITS, chunkSize: output.length + 1 });
    let filled = 0;
    for (let at = 0; inflate.err !== Z_STREAM_END; at += INPUT_PIECE) {
      if (at >= input.length) throw corruptPayload('the deflate stream is cut off');
      const last = at + INPUT_PIECE >= input.length;
      inflate.push(input.subarray(at, at + INPUT_PIECE), last ? Z_FINISH : Z_SYNC_FLUSH);
      const { result } = inflate;
      if (result === null && !last) throw corruptPayload('the deflate stream is broken');
      if (result === null) throw corruptPayload('the deflate stream is broken');
      if (filled + result.length > output.length) {
        throw corruptPayload('the deflate stream yields more bytes than a cluster');
      }
      output.set(result, filled);
      filled += result.length;
    }
    if (filled < output.length) {
      throw corruptPayload('the deflate stream yields fewer bytes than a cluster');
    }
  }

  free(): void {}
}
