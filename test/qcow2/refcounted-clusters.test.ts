import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { decodeHeader } from '../../src/qcow2/header.js';
import { setRefcount } from '../../src/qcow2/refcount-block.js';
import { refcountedClusters } from '../../src/qcow2/refcounted-clusters.js';
import { useScratch } from '../e2e/scratch.js';
import { MemoryHostFile } from '../image/memory-host-file.js';
import { runOk } from '../oracle/run.js';
import { MemoryFile } from './memory-file.js';

const path = useScratch();
const CLUSTER = 512;
const TABLE_AT = CLUSTER;

/** The header fields that are read. */
async function headerOf(options: string) {
  await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, path('x.qcow2'), '1M']);
  return decodeHeader(MemoryFile.of(path('x.qcow2')).bytes, 'x.qcow2');
}

async function used(file: MemoryHostFile, header: Awaited<ReturnType<typeof headerOf>>): Promise<number[]> {
  const found: number[] = [];
  for await (const { first, count, isUsed } of refcountedClusters(file, header)) {
    for (let index = first; index < first + count; index += 1) if (isUsed(index)) found.push(index);
  }
  return found;
}

describe.each([1, 2, 4, 8, 16, 32, 64])('refcounts of %i bits', (bits) => {
  test('tell which clusters are used, block by block', async () => {
    const perBlock = (CLUSTER * 8) / bits;
    const header = {
      ...(await headerOf(`cluster_size=512,refcount_bits=${bits}`)),
      refcountTableOffset: TABLE_AT as never,
    };
    const counts = fc.uniqueArray(fc.integer({ min: 0, max: 3 * perBlock - 1 }), { maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(counts, fc.integer({ min: 5, max: 3 * perBlock }), async (indices, clusters) => {
        // The second of three blocks is missing: its clusters are unused.
        const bytes = Buffer.alloc(5 * CLUSTER);
        bytes.writeBigUInt64BE(BigInt(2 * CLUSTER), TABLE_AT);
        bytes.writeBigUInt64BE(BigInt(3 * CLUSTER), TABLE_AT + 16);
        const there = indices.filter((index) => Math.floor(index / perBlock) !== 1 && index < clusters);
        for (const index of there) {
          const at = (index < perBlock ? 2 : 3) * CLUSTER;
          const highest = bits === 64 ? 2 ** 53 - 1 : 2 ** bits - 1;
          setRefcount(bytes.subarray(at, at + CLUSTER), index % perBlock, bits, index % 2 ? 1 : highest);
        }
        const file = new MemoryHostFile('x.qcow2', bytes, 5, [], clusters * CLUSTER);
        expect(await used(file, header)).toEqual(there.sort((a, b) => a - b));
      }),
      { numRuns: 30 },
    );
  });
});

test('clusters past the end of the file are unused', async () => {
  const header = { ...(await headerOf('cluster_size=512')), refcountTableOffset: TABLE_AT as never };
  const bytes = Buffer.alloc(4 * CLUSTER, 1);
  bytes.fill(0, TABLE_AT, TABLE_AT + CLUSTER);
  bytes.writeBigUInt64BE(BigInt(100 * CLUSTER), TABLE_AT);
  expect(await used(new MemoryHostFile('x.qcow2', bytes), header)).toEqual([]);
});

test('an unaligned block is an error that names its offset', async () => {
  const header = { ...(await headerOf('cluster_size=4k')), refcountTableOffset: 4096 as never };
  const bytes = Buffer.alloc(16384);
  bytes.writeBigUInt64BE(8192n + 512n, 4096);
  await expect(used(new MemoryHostFile('x.qcow2', bytes), header)).rejects.toMatchObject({
    code: 'ERR_CORRUPT',
    offset: 4096,
    found: 8704,
  });
});
