// The yardstick for restoring: `node inflating-loop.js IMAGE` only runs libdeflate over the payloads of a qcow2 image
// whose compression type is zlib, with a worker thread on every core, and throws the clusters away. Its CPU time holds
// the start of Node and of the workers, the L2 tables and reading the payloads through the page cache.
import { openSync, readSync } from 'node:fs';
import { isMainThread, workerData } from 'node:worker_threads';
import koffi from 'koffi';
import { onAllCores } from './all-cores.js';

const ENTRY_BYTES = 8;
/** Payloads that a worker takes at once. */
const TAKEN = 32;
const COMPRESSED = 1n << 62n;
const OFFSET = 0x00ff_ffff_ffff_fe00n;

/** @param {number} descriptor @param {number | bigint} offset @param {number} length bytes */
function read(descriptor, offset, length) {
  const bytes = Buffer.alloc(length);
  readSync(descriptor, bytes, 0, length, Number(offset));
  return bytes;
}

/** Specification: "Compressed Clusters Descriptor". @param {number} descriptor @returns offset and end of each payload */
function payloads(descriptor) {
  const header = read(descriptor, 0, 104);
  const clusterBits = header.readUInt32BE(20);
  const sectorsShift = BigInt(62 - (clusterBits - 8));
  /** @type {[offset: number, end: number][]} */
  const found = [];
  const l1 = read(descriptor, header.readBigUInt64BE(40), header.readUInt32BE(36) * ENTRY_BYTES);
  for (let at = 0; at < l1.length; at += ENTRY_BYTES) {
    const table = l1.readBigUInt64BE(at) & OFFSET;
    if (table === 0n) continue;
    const l2 = read(descriptor, table, 2 ** clusterBits);
    for (let entry = 0; entry < l2.length; entry += ENTRY_BYTES) {
      const value = l2.readBigUInt64BE(entry);
      if ((value & COMPRESSED) === 0n) continue;
      const offset = value & ((1n << sectorsShift) - 1n);
      const sectors = ((value & (COMPRESSED - 1n)) >> sectorsShift) + 1n;
      found.push([Number(offset), Number(offset - (offset % 512n) + sectors * 512n)]);
    }
  }
  // qemu-img -W writes them in any order.
  found.sort(([one], [other]) => one - other);
  return { clusterSize: 2 ** clusterBits, ranges: found.flat() };
}

function main() {
  const descriptor = openSync(process.argv[2], 'r');
  const { clusterSize, ranges } = payloads(descriptor);
  onAllCores(import.meta.url, descriptor, ranges, { clusterSize });
}

function work() {
  const { descriptor, clusterSize, shared, next } = workerData;
  const libdeflate = koffi.load('libdeflate.so.0');
  const allocate = libdeflate.func('void *libdeflate_alloc_decompressor()');
  const inflate = libdeflate.func(
    'int libdeflate_deflate_decompress_ex(void *, const void *, size_t, void *, size_t, size_t *, size_t *)',
  );
  const decompressor = allocate();
  const input = Buffer.alloc(TAKEN * clusterSize * 2);
  const output = Buffer.alloc(clusterSize);
  const sizes = [new BigUint64Array(1), new BigUint64Array(1)];
  const count = shared.length / 2;
  for (let from = Atomics.add(next, 0, TAKEN); from < count; from = Atomics.add(next, 0, TAKEN)) {
    const to = Math.min(from + TAKEN, count);
    let start = 0;
    let length = 0;
    for (let n = from; n < to; n++) {
      const [offset, end] = [shared[2 * n], shared[2 * n + 1]];
      // Normal clusters and tables may lie between payloads.
      if (end > start + length) {
        start = offset;
        length = readSync(descriptor, input, 0, Math.min(shared[2 * to - 1] - start, input.length), start);
      }
      const payload = input.subarray(offset - start, end - start);
      const failed = inflate(decompressor, payload, payload.length, output, clusterSize, ...sizes);
      if (failed !== 0) throw new Error(`payload at ${offset}: libdeflate answers ${failed}`);
    }
  }
}

if (isMainThread) main();
else work();
