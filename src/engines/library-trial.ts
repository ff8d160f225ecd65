/**
 * Tests a native library with a small sample before it is used. A library that is too old, only has the same name or
 * computes wrongly is skipped, instead of failing in the middle of a run.
 */
import { zlib } from '../system/late-modules.js';
import type { Compressor } from './codec.js';
import { IsalCompressor } from './isal.js';
import { LibdeflateCompressor, LibdeflateInflater } from './libdeflate.js';
import { LibzstdCompressor, LibzstdDecompressor, libzstdVersion } from './libzstd.js';
import type { NativeLibrary } from './native-library.js';

/** Long enough for matches and for dynamic codes. */
const SAMPLE = Buffer.from(Array.from({ length: 4096 }, (_, i) => ((i * i) >> (i & 7)) & 0xff));

/** A frame of RFC 8878 made by hand: 64 bytes, in one RLE block of 64 times 0x5a. */
const ZSTD_FRAME = Buffer.from('28b52ffd20400302005a', 'hex');
const ZSTD_CONTENT = Buffer.alloc(64, 0x5a);

/** @throws if the library lacks a function used here, or does not write and read deflate as zlib does */
export function tryLibdeflate(library: NativeLibrary): void {
  const stream = made(new LibdeflateCompressor(library, 1));
  demand(zlib().inflateRawSync(stream).equals(SAMPLE));
  const inflater = new LibdeflateInflater(library);
  expectRead(inflater, (input, output) => inflater.inflate(input, output), [
    [stream, SAMPLE],
    [zlib().deflateRawSync(SAMPLE), SAMPLE],
  ]);
}

/** @throws if the library lacks a function used here, or does not write deflate that zlib reads */
export function tryIsal(library: NativeLibrary): void {
  demand(
    zlib()
      .inflateRawSync(made(new IsalCompressor(library, 1)))
      .equals(SAMPLE),
  );
}

/** @throws if the library lacks a function used here, or does not write and read zstd frames */
export function tryLibzstd(library: NativeLibrary): void {
  libzstdVersion(library);
  const frame = made(new LibzstdCompressor(library, 1));
  const decompressor = new LibzstdDecompressor(library);
  const read = (input: Buffer, output: Buffer) => {
    demand(decompressor.salvage(input, output) === output.length);
    const salvaged = Buffer.from(output);
    const taken = decompressor.decompress(input, output);
    demand(salvaged.equals(output));
    return taken;
  };
  expectRead(decompressor, read, [
    [frame, SAMPLE],
    [ZSTD_FRAME, ZSTD_CONTENT],
  ]);
}

/** @returns the compressed sample */
function made(compressor: Compressor): Buffer {
  const output = Buffer.alloc(SAMPLE.length);
  try {
    const size = compressor.compress(SAMPLE, output);
    demand(size > 0 && size < SAMPLE.length);
    return output.subarray(0, size);
  } finally {
    compressor.free();
  }
}

/** @param owner the decompressor, always freed @param read returns the number of bytes read */
function expectRead(
  owner: { free(): void },
  read: (stream: Buffer, output: Buffer) => number | undefined,
  streams: readonly (readonly [stream: Buffer, content: Buffer])[],
): void {
  try {
    for (const [stream, content] of streams) {
      const output = Buffer.alloc(content.length);
      demand(read(stream, output) === stream.length);
      demand(output.equals(content));
    }
  } finally {
    owner.free();
  }
}

function demand(isRight: boolean): void {
  if (!isRight) throw new Error('the library computes wrongly');
}
