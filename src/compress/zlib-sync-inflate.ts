/**
 * Inflates through the optional package zlib-sync, for the workers of machines without libdeflate; about a
 * tenth faster than node:zlib, which takes over wherever the package's two faults would cost memory. Only
 * where nobody needs to know how long a stream is: the package cannot tell.
 */
import { createRequire } from 'node:module';
import type { Decompressor } from './codec.js';
import { CorruptPayload } from './corrupt-payload.js';
import { NodeZlibDecompressor } from './node-zlib.js';

/** What is used of the package; typed by hand because it may not be installed where this is compiled. */
export interface ZlibSync {
  readonly Inflate: new (options: { windowBits: number; chunkSize: number }) => Inflate;
  readonly Z_STREAM_END: number;
  readonly Z_FINISH: number;
}

interface Inflate {
  readonly err: number;
  readonly result: Buffer;
  push(input: Uint8Array, flush: number): void;
}

/** Raw deflate with the largest window, which reads every smaller one. */
const WINDOW_BITS = -15;

/**
 * Streams inflated by the package in one process. It can neither reset a stream nor release one
 * (zlib's inflateEnd is never called), so each leaves 10 to 40 KiB behind until the process ends.
 */
const MOST_STREAMS = 256;

/** @returns how many streams are left, in memory that threads can share */
export function countOfStreams(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(MOST_STREAMS);
}

/**
 * Bytes of input that the package is given. It lets a stream grow as far as its input goes, and deflate
 * yields up to 1032 bytes for each: at most 32 MiB, for a moment, whatever a hostile image holds.
 */
const LARGEST_INPUT = 32768;

const require = createRequire(import.meta.url);

/**
 * Since Node.js 24 the process is aborted when one of the package's streams is collected as garbage (its destructor
 * calls what there needs a context: RemoveEnvironmentCleanupHook).
 */
const FIRST_NODE_THAT_ABORTS = 24;

/**
 * @param node version of Node.js
 * @returns the package, or undefined when it is not installed, does not load or is deadly
 */
export function zlibSync(node: string = process.versions.node): ZlibSync | undefined {
  if (Number.parseInt(node, 10) >= FIRST_NODE_THAT_ABORTS) return undefined;
  try {
    return require('zlib-sync') as ZlibSync;
  } catch {
    return undefined;
  }
}

/** @returns the version of the package, or undefined when it is not used here */
export function zlibSyncVersion(): string | undefined {
  if (zlibSync() === undefined) return undefined;
  return (require('zlib-sync/package.json') as { readonly version: string }).version;
}

/**
 * @param zlib what `zlibSync` found
 * @param streamsLeft of this process, from `countOfStreams`
 * @returns a decompressor for raw deflate: zlib-sync's, or node:zlib's without the package
 */
export function portableInflate(zlib: ZlibSync | undefined, streamsLeft: Int32Array): Decompressor {
  return zlib === undefined ? new NodeZlibDecompressor() : new ZlibSyncDecompressor(zlib, streamsLeft);
}

class ZlibSyncDecompressor implements Decompressor {
  readonly #zlib: ZlibSync;
  readonly #otherwise = new NodeZlibDecompressor();
  readonly #streamsLeft: Int32Array;

  constructor(zlib: ZlibSync, streamsLeft: Int32Array) {
    this.#zlib = zlib;
    this.#streamsLeft = streamsLeft;
  }

  decompress(input: Uint8Array, output: Uint8Array): number {
    if (input.length > LARGEST_INPUT || !this.#mayMakeStream()) {
      this.#otherwise.decompress(input, output);
      return input.length;
    }
    // Room for one byte more than a cluster: its end is found at once, and a longer stream shows.
    const stream = new this.#zlib.Inflate({ windowBits: WINDOW_BITS, chunkSize: output.length + 1 });
    stream.push(input, this.#zlib.Z_FINISH);
    if (stream.err !== this.#zlib.Z_STREAM_END) throw new CorruptPayload('the deflate stream is broken');
    const { result } = stream;
    if (result.length !== output.length) {
      const found = result.length < output.length ? 'fewer' : 'more';
      throw new CorruptPayload(`the deflate stream yields ${found} bytes than a cluster`);
    }
    output.set(result);
    // The package does not say how much of it the stream took.
    return input.length;
  }

  /** Looks first: what is counted down for ever would begin anew from the largest number. */
  #mayMakeStream(): boolean {
    return Atomics.load(this.#streamsLeft, 0) > 0 && Atomics.sub(this.#streamsLeft, 0, 1) > 0;
  }

  free(): void {}

  freeWithThread(): void {}
}
