import { describe, expect, test } from 'vitest';
import { decodeHeader } from '../../src/qcow2/header.js';
import { Qcow2Layer } from '../../src/qcow2/qcow2-layer.js';
import { forgedQcow2 } from '../image/forged-qcow2.js';
import { MemoryHostFile } from '../image/memory-host-file.js';

const CLUSTER = 4096;
const COPIED = 1n << 63n;

/** An image with a table at the fifth cluster, followed by two clusters of data. */
function imageOf(size: number, dataFile?: string) {
  const bytes = Buffer.concat([
    forgedQcow2({ size, ...(dataFile && { dataFile }) }),
    Buffer.alloc(4 * CLUSTER),
  ]);
  bytes.writeBigUInt64BE(COPIED | BigInt(4 * CLUSTER), 3 * CLUSTER);
  bytes.writeBigUInt64BE(COPIED | BigInt(dataFile === undefined ? 5 * CLUSTER : 0), 4 * CLUSTER);
  const file = new MemoryHostFile('x.qcow2', bytes, 5);
  return { file, header: decodeHeader(bytes, 'x.qcow2') };
}

describe('a layer', () => {
  test('has whole sectors, and names its file’s descriptor', async () => {
    const { file, header } = imageOf(CLUSTER + 1000);
    const layer = new Qcow2Layer(header, file, undefined);
    expect([layer.name, layer.size, layer.header]).toEqual(['x.qcow2', CLUSTER + 512, header]);
    expect([layer.fileOf(5), layer.fileOf(6)]).toEqual(['x.qcow2', undefined]);
    expect(await layer.map(0)).toEqual({ kind: 'data', length: CLUSTER, descriptor: 5, offset: 5 * CLUSTER });
    expect(await layer.map(CLUSTER)).toEqual({ kind: 'unallocated', length: 512 });
  });

  test('maps to its data file, and reads and closes both files', async () => {
    const { file, header } = imageOf(2 * CLUSTER, 'x.data');
    const data = new MemoryHostFile('x.data', Buffer.alloc(CLUSTER), 6);
    const layer = new Qcow2Layer(header, file, data);
    expect(await layer.map(100)).toEqual({ kind: 'data', length: CLUSTER - 100, descriptor: 6, offset: 100 });
    expect([layer.fileOf(5), layer.fileOf(6), layer.fileOf(7)]).toEqual(['x.qcow2', 'x.data', undefined]);
    await layer.refuseChanges();
    expect([file.refused, data.refused]).toEqual([1, 1]);
    data.refuseChanges = () => Promise.reject(new Error('data'));
    await expect(layer.refuseChanges()).rejects.toThrow('data');
    file.close = () => Promise.reject(new Error('EIO'));
    await expect(layer.close()).rejects.toThrow('EIO');
    expect(data.closed).toBe(1);
  });

  test('of a snapshot reads the snapshot’s L1 table', async () => {
    const { file, header } = imageOf(2 * CLUSTER);
    file.bytes.writeBigUInt64BE(COPIED | BigInt(7 * CLUSTER), 6 * CLUSTER);
    file.bytes.writeBigUInt64BE(1n, 7 * CLUSTER);
    const state = { l1Offset: 6 * CLUSTER, l1Entries: 1, virtualSize: 3 * CLUSTER + 700 };
    const layer = new Qcow2Layer(header, file, undefined, state);
    expect(layer.size).toBe(3 * CLUSTER + 512);
    expect(await layer.map(0)).toEqual({ kind: 'zero', length: CLUSTER });
    const none = new Qcow2Layer(header, file, undefined, { ...state, l1Entries: 0 });
    expect(await none.map(0)).toEqual({ kind: 'unallocated', length: 3 * CLUSTER + 512 });
  });

  test('takes extended entries, compression type and version from its header', async () => {
    const { file, header } = imageOf(CLUSTER);
    file.bytes.writeBigUInt64BE(1n, 4 * CLUSTER);
    const old = new Qcow2Layer({ ...header, version: 2 }, file, undefined);
    expect(await old.map(0)).toMatchObject({ kind: 'unreadable' });
    file.bytes.writeBigUInt64BE((1n << 62n) | 9001n, 4 * CLUSTER);
    const zstd = new Qcow2Layer({ ...header, compressionType: 'zstd' }, file, undefined);
    expect(await zstd.map(0)).toMatchObject({
      kind: 'compressed',
      payloads: { type: 'zstd', places: [9001, 215] },
    });
    const extended = new Qcow2Layer(
      { ...header, clusterBits: 14, incompatibleFeatures: 16n, l1Offset: (3 * CLUSTER) as never },
      file,
      undefined,
    );
    file.bytes.writeBigUInt64BE(COPIED | BigInt(4 * CLUSTER), 3 * CLUSTER);
    file.bytes.writeBigUInt64BE(0n, 4 * CLUSTER);
    file.bytes.writeBigUInt64BE(0xffffffffn << 32n, 4 * CLUSTER + 8);
    expect(await extended.map(0)).toEqual({ kind: 'zero', length: CLUSTER });
  });
});
