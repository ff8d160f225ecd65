/** The results of examineImage for whole images: clusters by type, broken ones in guest order, facts of the streams. */
import { closeSync, openSync } from 'node:fs';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { constants, deflateRawSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { examineImage } from '../../src/examine/examine-image.js';
import { openImageFile } from '../../src/image/open-image-file.js';
import type { Progress } from '../../src/workers/progress.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes, text } from '../engines/samples.js';
import { zstdFrame } from '../engines/zstd-frames.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { brokenClusters, examineFile } from './examine-file.js';
import { type Content, l2EntryAt, payloadImage, readDescriptor, writeDescriptor } from './payload-image.js';

const path = useScratch();
const CLUSTER = 65536;
const NOWHERE = new URL('file:///no/worker.js');

/** A payload for the cluster with this index: a little noise, then one letter, with matches of the byte before only. */
function payloadOf(index: number, clusterSize = CLUSTER): Uint8Array {
  const noise = randomBytes(clusterSize / 8, index + 1);
  const cluster = Buffer.concat([noise, Buffer.alloc(clusterSize - noise.length, 'x')]);
  return deflateRawSync(cluster, { strategy: constants.Z_RLE });
}

/** Destroys the payload of a compressed cluster: a block type that there is not. */
function breakPayload(file: Buffer, cluster: number): void {
  file[readDescriptor(file, cluster).offset]! |= 7;
}

describe('clusters by type', () => {
  test('of a small disk that ends in the middle of a table', async () => {
    const stored = { stored: Buffer.alloc(CLUSTER, 1) };
    const contents: Content[] = [
      ...new Array<Content>(5).fill('zero'),
      ...new Array<Content>(7).fill(stored),
      ...new Array<Content>(3).fill('unallocated'),
      ...Array.from({ length: 100 }, (_, index) => ({ payload: payloadOf(index) })),
      'unallocated',
    ];
    await writeFile(path('types.qcow2'), await payloadImage(contents, {}));
    expect(await examineFile(path('types.qcow2'))).toEqual({
      clusters: { zero: 5, normal: 7, unallocated: 4, compressed: 100 },
      ...{ examined: 100, broken: 0, facts: undefined, reports: [] },
    });
  });

  test('with subclusters: a cluster with data in one of them is normal, otherwise one with zeros is zero', async () => {
    const file = path('subclusters.qcow2');
    await create(file, 8 * CLUSTER, ['-o', 'extended_l2=on']);
    await qemuIo(file, [
      `write 2k 2k`,
      `write -z ${CLUSTER + 4096} 2k`,
      `write ${2 * CLUSTER} 64k`,
      `write -z ${3 * CLUSTER} 64k`,
      `write -c ${4 * CLUSTER} 64k`,
      `write ${5 * CLUSTER + 60 * 1024} 2k`,
      `write -z ${5 * CLUSTER} 2k`,
    ]);
    expect(await examineFile(file)).toMatchObject({
      clusters: { normal: 3, zero: 2, compressed: 1, unallocated: 2 },
      ...{ examined: 1, broken: 0 },
    });
  });

  test('of an empty disk, of a disk of 0 bytes, and of a large one without tables', async () => {
    for (const size of [0, 512, 2 ** 44]) {
      await create(path('empty.qcow2'), size);
      const { clusters } = await examineFile(path('empty.qcow2'), { workerEntry: NOWHERE });
      expect(clusters).toEqual({ compressed: 0, normal: 0, zero: 0, unallocated: Math.ceil(size / CLUSTER) });
    }
  });

  test('in an external data file, where no cluster is compressed', async () => {
    const [file, dataFile] = [path('external.qcow2'), path('external.data')];
    await create(file, 4 * CLUSTER, ['-o', `data_file=${dataFile}`]);
    await qemuIo(file, ['write 0 64k', 'write 192k 64k']);
    await truncate(dataFile, 3 * CLUSTER);
    const clusters = { compressed: 0, normal: 2, zero: 0, unallocated: 2 };
    const options = { workerEntry: NOWHERE };
    expect(await examineFile(file, options)).toMatchObject({ clusters, broken: 0 });
    const data = await openImageFile({ file: dataFile, format: 'raw' }, { direct: false });
    const { reports } = await examineFile(file, { ...options, dataFile: data.file });
    await data.file.close();
    expect(reports).toMatchObject([{ guestOffset: 3 * CLUSTER, hostOffset: 3 * CLUSTER, length: CLUSTER }]);
    expect(reports[0]!.error.message).toContain(`past the end of '${dataFile}'`);
  });
});

describe('a broken cluster', () => {
  test('is reported in guest order, whichever worker finds it', async () => {
    const payloads = Array.from({ length: 100 }, (_, index) => ({ payload: payloadOf(index) }));
    const contents: Content[] = [...payloads, { stored: Buffer.alloc(CLUSTER, 1) }, ...payloads];
    const file = await payloadImage(contents, {});
    const broken = [0, 1, 31, 32, 33, 64, 99, 101, 150, 200];
    for (const cluster of broken) breakPayload(file, cluster);
    file.writeBigUInt64BE((1n << 63n) | (1n << 40n), l2EntryAt(file, 100));
    broken.splice(7, 0, 100);
    await writeFile(path('order.qcow2'), file);
    for (const threads of [1, 3]) {
      const examined = await examineFile(path('order.qcow2'), { threads });
      expect(brokenClusters(examined, CLUSTER)).toEqual(broken);
      expect(examined).toMatchObject({ examined: 200, broken: 11 });
      for (const { guestOffset, hostOffset, length, snapshot, error } of examined.reports) {
        const cluster = guestOffset / CLUSTER;
        const offset = cluster === 100 ? 2 ** 40 : readDescriptor(file, cluster).offset;
        expect({ hostOffset, length, snapshot }).toEqual({
          hostOffset: offset,
          length: CLUSTER,
          snapshot: undefined,
        });
        expect(error.code).toBe('ERR_CORRUPT');
      }
    }
  });

  test('is reported after the previous callback has finished', async () => {
    const file = await payloadImage(
      Array.from({ length: 10 }, (_, index) => ({ payload: payloadOf(index) })),
      {},
    );
    for (let cluster = 0; cluster < 10; cluster += 1) breakPayload(file, cluster);
    await writeFile(path('wait.qcow2'), file);
    let under = 0;
    let told = 0;
    await examineFile(path('wait.qcow2'), {
      onBroken: async () => {
        under += 1;
        expect(under).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        under -= 1;
        told += 1;
      },
    });
    expect(told).toBe(10);
  });

  test('may begin past the end of the file; a cluster in which the file ends is not broken', async () => {
    const file = await payloadImage(
      [1, 2, 3].map((byte) => ({ stored: Buffer.alloc(CLUSTER, byte) })),
      {},
    );
    const at = Math.ceil(file.length / CLUSTER) * CLUSTER;
    for (const [cluster, offset] of [at - CLUSTER, at, 2 ** 45].entries()) {
      file.writeBigUInt64BE((1n << 63n) | BigInt(offset), l2EntryAt(file, cluster));
    }
    await writeFile(path('behind.qcow2'), file);
    const { reports } = await examineFile(path('behind.qcow2'), { workerEntry: NOWHERE });
    expect(reports.map(({ error }) => error.message)).toEqual(
      [at, 2 ** 45].map(
        (offset, index) =>
          `'${path('behind.qcow2')}' is broken at guest offset ${(index + 1) * CLUSTER}: its data lies at ` +
          `offset ${offset}, past the end of '${path('behind.qcow2')}'`,
      ),
    );
  });

  test('may be a zero cluster in version 2; entries that the check of the tables reports are not repeated', async () => {
    const file = await payloadImage(
      [1, 2, 3, 4].map((byte) => ({ stored: Buffer.alloc(CLUSTER, byte) })),
      { compat: 2 },
    );
    file[l2EntryAt(file, 0) + 7]! |= 1;
    file[l2EntryAt(file, 1) + 6]! |= 2;
    await writeFile(path('version-2.qcow2'), file);
    const { clusters, reports } = await examineFile(path('version-2.qcow2'), { workerEntry: NOWHERE });
    expect(clusters).toEqual({ compressed: 0, normal: 2, zero: 0, unallocated: 0 });
    expect(reports).toMatchObject([{ guestOffset: 0, length: CLUSTER, error: { code: 'ERR_CORRUPT' } }]);
    expect(reports[0]!.error.message).toMatch(/: it is a zero cluster, which version 2 does not have$/);
  });

  test('may be in a table in which the file ends', async () => {
    const file = await payloadImage([{ payload: payloadOf(0) }, ...new Array<Content>(99).fill('zero')], {});
    // The L2 table once more, at the end, and not all of it.
    const table = Math.ceil(file.length / CLUSTER) * CLUSTER;
    const old = l2EntryAt(file, 0);
    const cut = Buffer.concat([file, Buffer.alloc(table - file.length), file.subarray(old, old + 10 * 8)]);
    cut.writeBigUInt64BE((1n << 63n) | BigInt(table), Number(file.readBigUInt64BE(40)));
    await writeFile(path('table.qcow2'), cut);
    const { clusters, examined, reports } = await examineFile(path('table.qcow2'));
    expect({ clusters, examined }).toEqual({
      clusters: { compressed: 1, normal: 0, zero: 9, unallocated: 0 },
      examined: 1,
    });
    const reach = CLUSTER * (CLUSTER / 8);
    expect(reports).toMatchObject([
      {
        ...{ guestOffset: 10 * CLUSTER, hostOffset: table + 80, length: reach - 10 * CLUSTER },
        error: { code: 'ERR_CORRUPT' },
      },
    ]);
  });

  test("may be unreadable, with the system's reason", async () => {
    const file = await payloadImage([{ payload: payloadOf(0) }, 'zero', { payload: payloadOf(1) }], {});
    await writeFile(path('io.qcow2'), file);
    const image = await openImageFile({ file: path('io.qcow2'), format: 'qcow2' }, { direct: false });
    const { name, size, readAlignment } = image.file;
    // The tables are read from the image, payloads from a directory, where every read fails.
    const descriptor = openSync(path(''), 'r');
    const unreadable = {
      ...{ name, size, readAlignment, descriptor },
      read: image.file.read.bind(image.file),
      map: image.file.map.bind(image.file),
      fileOf: () => name,
      refuseChanges: async () => {},
      close: async () => {},
    };
    const reports: unknown[] = [];
    const examination = await examineImage(
      { file: unreadable, header: image.qcow2!.header },
      {
        ...{ threads: 1, streamFacts: true, snapshots: true },
        workerEntry: new URL('../../dist/worker.cjs', import.meta.url),
        onBroken: (broken) => void reports.push(broken),
      },
    );
    closeSync(descriptor);
    await image.file.close();
    expect(examination).toMatchObject({
      examined: 2,
      broken: 2,
      facts: { payloadBytes: 0, hostClusters: 1 },
    });
    expect(reports).toMatchObject(
      [0, 2].map((cluster) => ({
        ...{ guestOffset: cluster * CLUSTER, hostOffset: readDescriptor(file, cluster).offset },
        error: { code: 'ERR_IO', systemCode: 'EISDIR', file: name },
      })),
    );
  });
});

describe('snapshots', () => {
  const SIZE = 3 * 2 ** 29;

  /** A disk of three L2 tables with a snapshot, after which the first cluster and the last but one have changed. */
  async function withSnapshot(name: string): Promise<string> {
    const file = path(name);
    await create(file, SIZE);
    const clusters = [0, 1, 2, SIZE / 2 / CLUSTER, SIZE / CLUSTER - 1];
    await qemuIo(
      file,
      clusters.map((cluster) => `write -c -P ${1 + (cluster % 200)} ${cluster * CLUSTER} ${CLUSTER}`),
    );
    await runOk('qemu-img', ['snapshot', '-c', 's1', file]);
    await qemuIo(file, [`write -P 250 0 ${CLUSTER}`, `write -c -P 251 ${SIZE - 2 * CLUSTER} ${CLUSTER}`]);
    return file;
  }

  test('clusters shared with the disk are examined once, clusters of snapshots only too', async () => {
    const file = await withSnapshot('shared.qcow2');
    const clusters = { compressed: 5, normal: 1, zero: 0, unallocated: SIZE / CLUSTER - 6 };
    expect(await examineFile(file)).toMatchObject({ clusters, examined: 6, broken: 0 });
    expect(await examineFile(file, { snapshots: false })).toMatchObject({ clusters, examined: 5, broken: 0 });
    for (const name of ['s2', 's3', 's4']) await runOk('qemu-img', ['snapshot', '-c', name, file]);
    expect(await examineFile(file)).toMatchObject({ clusters, examined: 6, broken: 0 });
  });

  test('a broken payload is reported once, with the snapshot if the disk no longer has it', async () => {
    const file = await withSnapshot('broken.qcow2');
    await runOk('qemu-img', ['snapshot', '-c', 's2', file]);
    const bytes = await readFile(file);
    const snapshot = Number(bytes.readBigUInt64BE(Number(bytes.readBigUInt64BE(64))));
    const ofSnapshot = Buffer.from(bytes);
    ofSnapshot.writeBigUInt64BE(BigInt(snapshot), 40);
    const [lost, shared] = [readDescriptor(ofSnapshot, 0), readDescriptor(bytes, 2)];
    for (const { offset } of [lost, shared]) bytes[offset]! |= 7;
    await writeFile(file, bytes);
    const { reports, examined } = await examineFile(file);
    expect(examined).toBe(6);
    expect(reports).toMatchObject([
      { guestOffset: 0, hostOffset: lost.offset, snapshot: '1' },
      { guestOffset: 2 * CLUSTER, hostOffset: shared.offset, snapshot: undefined },
    ]);
    expect(brokenClusters(await examineFile(file, { snapshots: false }), CLUSTER)).toEqual([2]);
  });

  test('an impossible L1 table is left to the check of the tables', async () => {
    const file = await withSnapshot('wrong.qcow2');
    const handle = await open(file, 'r+');
    const header = Buffer.alloc(72);
    await handle.read(header, 0, 72, 0);
    await handle.write(Buffer.from([1]), 0, 1, Number(header.readBigUInt64BE(64)) + 7);
    await handle.close();
    expect(await examineFile(file)).toMatchObject({ examined: 5, broken: 0 });
  });
});

describe('facts of the streams', () => {
  test('of deflate: lengths in bytes, host clusters and their unused rest, the window', async () => {
    const payloads = Array.from({ length: 50 }, (_, index) => payloadOf(index));
    const file = await payloadImage(
      payloads.map((payload) => ({ payload })),
      {},
    );
    await writeFile(path('deflate.qcow2'), file);
    const payloadBytes = payloads.reduce((sum, { length }) => sum + length, 0);
    const hostClusters = new Set(
      payloads.flatMap(({ length }, index) => {
        const { offset } = readDescriptor(file, index);
        return [Math.floor(offset / CLUSTER), Math.floor((offset + length - 1) / CLUSTER)];
      }),
    ).size;
    // The last host cluster ends where the file does, with its last sector.
    const wastedBytes = hostClusters * CLUSTER - payloadBytes - (CLUSTER - (file.length % CLUSTER));
    expect(wastedBytes).toBeLessThan(512);
    const { facts } = await examineFile(path('deflate.qcow2'), { streamFacts: true });
    expect(facts).toEqual({
      compressedGuestBytes: 50 * CLUSTER,
      ...{ payloadBytes, hostClusters, wastedBytes },
      ...{ window: 1, checksums: 0 },
    });
  });

  test('a broken payload counts for its host cluster only', async () => {
    const payloads = [payloadOf(0), payloadOf(1)];
    const file = await payloadImage(
      payloads.map((payload) => ({ payload })),
      {},
    );
    breakPayload(file, 1);
    await writeFile(path('half.qcow2'), file);
    const { facts } = await examineFile(path('half.qcow2'), { streamFacts: true });
    expect(facts).toMatchObject({
      ...{ compressedGuestBytes: CLUSTER, payloadBytes: payloads[0]!.length },
      ...{ hostClusters: 1, wastedBytes: (file.length % CLUSTER) - payloads[0]!.length },
    });
  });

  test.each([10, 11, 12, 13, 14, 15])('the window of %i bits set for deflate', async (windowBits) => {
    const noise = randomBytes(2 ** windowBits - 300);
    const cluster = Buffer.concat([noise, noise, noise, Buffer.alloc(CLUSTER)]).subarray(0, CLUSTER);
    const contents = [
      { payload: payloadOf(0) },
      { payload: deflateRawSync(cluster, { windowBits }) },
      { payload: payloadOf(1) },
    ];
    await writeFile(path('window.qcow2'), await payloadImage(contents, {}));
    const { facts } = await examineFile(path('window.qcow2'), { streamFacts: true });
    expect(facts?.window).toBe(2 ** windowBits);
  });

  test('the window that QEMU writes', async () => {
    const disk = Buffer.concat([text(20 * CLUSTER), randomBytes(2 * CLUSTER), text(CLUSTER, 7)]);
    await writeFile(path('disk.raw'), disk);
    const target = path('by-qemu.qcow2');
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', '-c', path('disk.raw'), target]);
    const { facts, examined } = await examineFile(target, { streamFacts: true });
    expect(examined).toBe(21);
    expect(facts?.window).toBe(4096);
  });

  test('of zstd: the largest window of a header, and how many have a checksum', async () => {
    const [CONTENT_SIZE_FLAG, CHECKSUM_FLAG] = [200, 201];
    const frames = [
      zstdFrame(text(CLUSTER), []),
      zstdFrame(text(CLUSTER, 2), [[CHECKSUM_FLAG, 1]]),
      zstdFrame(text(CLUSTER, 3), [
        [CHECKSUM_FLAG, 1],
        [CONTENT_SIZE_FLAG, 0],
      ]),
    ];
    const contents = frames.map((payload) => ({ payload }));
    const file = await payloadImage(contents, { compressionType: 'zstd' });
    await writeFile(path('frames.qcow2'), file);
    const { facts } = await examineFile(path('frames.qcow2'), { streamFacts: true });
    expect(facts).toMatchObject({
      ...{ payloadBytes: frames.reduce((sum, { length }) => sum + length, 0), checksums: 2 },
      window: Math.max(CLUSTER, 2 ** (10 + (frames[2]![5]! >> 3))),
    });
  });

  test('payloads farther apart than the bitmap of host clusters covers', async () => {
    const clusterSize = 512;
    const payloads = [payloadOf(0, clusterSize), payloadOf(1, clusterSize)];
    const file = await payloadImage(
      payloads.map((payload) => ({ payload })),
      { clusterSize },
    );
    const far = 200 * 2 ** 30 + 100;
    writeDescriptor(file, 1, { offset: far, moreSectors: 0 });
    await writeFile(path('far.qcow2'), file);
    const handle = await open(path('far.qcow2'), 'r+');
    await handle.write(payloads[1]!, 0, payloads[1]!.length, far);
    await handle.truncate(far + 412);
    await handle.close();
    const payloadBytes = payloads[0]!.length + payloads[1]!.length;
    const { facts, broken } = await examineFile(path('far.qcow2'), { streamFacts: true });
    expect(broken).toBe(0);
    expect(facts).toMatchObject({ payloadBytes, hostClusters: 2, wastedBytes: 1024 - payloadBytes });
  });

  test('of an image without payloads, without starting a thread', async () => {
    await create(path('none.qcow2'), 2 ** 30);
    const { facts } = await examineFile(path('none.qcow2'), { streamFacts: true, workerEntry: NOWHERE });
    const none = { payloadBytes: 0, hostClusters: 0, wastedBytes: 0, window: 0, checksums: 0 };
    expect(facts).toEqual({ compressedGuestBytes: 0, ...none });
  });
});

describe('during the run', () => {
  test('progress ends at the size of the disk, and counts inflated bytes', async () => {
    const contents: Content[] = Array.from({ length: 500 }, (_, index) =>
      index % 5 === 0 ? { payload: payloadOf(index) } : 'zero',
    );
    await writeFile(path('progress.qcow2'), await payloadImage(contents, {}));
    const seen: Progress[] = [];
    await examineFile(path('progress.qcow2'), { onProgress: (progress) => seen.push(progress) });
    const guestBytes = 500 * CLUSTER;
    const done = seen.map(({ guestBytesDone }) => guestBytesDone);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.length).toBeGreaterThan(4);
    expect(seen[0]).toEqual({ guestBytes, guestBytesDone: 0, dataBytes: 0, storedBytes: undefined });
    expect(seen.at(-1)).toEqual({
      ...{ guestBytes, guestBytesDone: guestBytes, dataBytes: 100 * CLUSTER, storedBytes: undefined },
    });
  });

  test('the signal aborts the examination', async () => {
    const contents = Array.from({ length: 200 }, (_, index) => ({ payload: payloadOf(index) }));
    await writeFile(path('abort.qcow2'), await payloadImage(contents, {}));
    const controller = new AbortController();
    const examining = examineFile(path('abort.qcow2'), {
      signal: controller.signal,
      onProgress: ({ guestBytesDone }) => guestBytesDone > 0 && controller.abort(new Error('enough')),
    });
    await expect(examining).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });
});
