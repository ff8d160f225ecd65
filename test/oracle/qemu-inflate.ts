/**
 * QEMU's result for a deflate payload, without starting QEMU: its steps (block/qcow2-threads.c, qcow2_zlib_decompress)
 * with the system's zlib, to which qemu-img is linked.
 */
import koffi from 'koffi';

// Bound to its own functions: Node.js exports some of the same names.
const libz = koffi.load('libz.so.1', { deep: true });
const inflateInit2 = libz.func('inflateInit2_', 'int', ['void *', 'int', 'const char *', 'int']);
const inflate = libz.func('inflate', 'int', ['void *', 'int']);
const inflateEnd = libz.func('inflateEnd', 'int', ['void *']);
const version = libz.func('zlibVersion', 'const char *', [])() as string;

/** zlib.h. */
const Z_FINISH = 4;
const Z_STREAM_END = 1;
const Z_BUF_ERROR = -5;
const WINDOW_BITS = -12;

/** z_stream on a 64-bit system: next_in, avail_in, total_in, next_out, avail_out and eight more. */
const STREAM_BYTES = 112;
const [NEXT_IN, AVAIL_IN, NEXT_OUT, AVAIL_OUT] = [0, 8, 24, 32];

export interface QemuVerdict {
  /** The cluster, up to its filled part. */
  readonly output: Buffer;
  /** Whether QEMU reads the cluster. */
  readonly isRead: boolean;
  /** Bytes of the payload, when a stream of exactly one cluster ended there. */
  readonly taken: number | undefined;
}

export function qemuInflates(payload: Uint8Array, clusterSize: number): QemuVerdict {
  // Memory that stays where it is: larger than what V8 keeps on its own heap.
  const stream = Buffer.allocUnsafeSlow(4096).fill(0);
  const input = Buffer.allocUnsafeSlow(payload.length + 4096);
  input.set(payload);
  const output = Buffer.allocUnsafeSlow(clusterSize + 4096).fill(0);
  stream.writeBigUInt64LE(koffi.address(input), NEXT_IN);
  stream.writeUInt32LE(payload.length, AVAIL_IN);
  stream.writeBigUInt64LE(koffi.address(output), NEXT_OUT);
  stream.writeUInt32LE(clusterSize, AVAIL_OUT);
  if (inflateInit2(stream, WINDOW_BITS, version, STREAM_BYTES) !== 0) throw new Error('zlib does not start');
  const result = inflate(stream, Z_FINISH) as number;
  inflateEnd(stream);
  const left = stream.readUInt32LE(AVAIL_OUT);
  const isRead = (result === Z_STREAM_END || result === Z_BUF_ERROR) && left === 0;
  const taken =
    isRead && result === Z_STREAM_END ? payload.length - stream.readUInt32LE(AVAIL_IN) : undefined;
  return { output: output.subarray(0, clusterSize - left), isRead, taken };
}
