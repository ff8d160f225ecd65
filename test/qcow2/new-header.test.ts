import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { hostOffset } from '../../src/qcow2/addresses.js';
import {
  AUTOCLEAR_BITMAPS,
  AUTOCLEAR_RAW_DATA_FILE,
  COMPATIBLE_LAZY_REFCOUNTS,
  INCOMPATIBLE_COMPRESSION_TYPE,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
} from '../../src/qcow2/features.js';
import { geometry, l1EntriesFor } from '../../src/qcow2/geometry.js';
import { decodeHeader } from '../../src/qcow2/header.js';
import { decodeBackingName, decodeExtensions, headerAreaBytes } from '../../src/qcow2/header-extensions.js';
import { encodeHeader, headerBytes, type NewHeader } from '../../src/qcow2/new-header.js';
import { useScratch } from '../e2e/scratch.js';
import { runOk } from '../oracle/run.js';

const scratch = useScratch();
const MiB = 2 ** 20;

const example: NewHeader = {
  version: 3,
  clusterBits: 16,
  virtualSize: 5 * 2 ** 30,
  l1Entries: 10,
  l1Offset: hostOffset(0x30000),
  refcountTableOffset: hostOffset(0x10000),
  refcountTableClusters: 1,
  compatibleFeatures: COMPATIBLE_LAZY_REFCOUNTS,
  refcountOrder: 3,
  compressionType: 'zstd',
  extendedL2: false,
};
const plain: NewHeader = { ...example, compatibleFeatures: 0n, refcountOrder: 4, compressionType: 'zlib' };

/** Valid text for a name in an image. */
const names = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 40 })
  .map((text) => text.replaceAll('\0', '0').slice(0, 40))
  .filter((text) => Buffer.from(text).toString() === text);

const newHeaders = fc
  .record({
    version: fc.constantFrom(2 as const, 3 as const),
    clusterBits: fc.integer({ min: 9, max: 21 }),
    refcountOrder: fc.nat(6),
    compressionType: fc.constantFrom('zlib' as const, 'zstd' as const),
    lazyRefcounts: fc.boolean(),
    size: fc.maxSafeNat(),
    clusters: fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 31 }), { minLength: 2, maxLength: 2 }),
    tableBytes: fc.integer({ min: 1, max: 8 * MiB }),
    extendedL2: fc.boolean(),
    // Together with the bitmaps extension they fit into 512 bytes.
    backing: fc.option(
      fc.record({ file: names, format: fc.constantFrom('raw' as const, 'qcow2' as const) }),
      { nil: undefined },
    ),
    dataFile: fc.option(fc.record({ name: names, raw: fc.boolean() }), { nil: undefined }),
    bitmaps: fc.option(
      fc.record({
        count: fc.integer({ min: 1, max: 65535 }),
        directorySize: fc.integer({ min: 32 * 65535, max: 64 * 65535 }),
        directoryOffset: fc.nat(2 ** 31).map((cluster) => hostOffset(2 ** 21 * (1 + cluster))),
      }),
      { nil: undefined },
    ),
  })
  .map(({ version, clusterBits, clusters, tableBytes, backing, ...rest }): NewHeader => {
    const v3 = version === 3;
    const extendedL2 = v3 && clusterBits >= 14 && rest.extendedL2;
    const shape = geometry(clusterBits, 16, extendedL2);
    const { clusterSize, l2Entries } = shape;
    const virtualSize = rest.size % Math.min(4 * MiB * clusterSize * l2Entries, 2 ** 53);
    const [l1Offset = 0, refcountTableOffset = 0] = clusters.map((cluster) => cluster * clusterSize);
    return {
      version,
      clusterBits,
      virtualSize,
      l1Entries: l1EntriesFor(shape, virtualSize),
      l1Offset: hostOffset(l1Offset),
      refcountTableOffset: hostOffset(refcountTableOffset),
      refcountTableClusters: Math.ceil(tableBytes / clusterSize),
      compatibleFeatures: v3 && rest.lazyRefcounts ? COMPATIBLE_LAZY_REFCOUNTS : 0n,
      refcountOrder: v3 ? rest.refcountOrder : 4,
      compressionType: v3 ? rest.compressionType : 'zlib',
      extendedL2,
      backing,
      dataFile: v3 ? rest.dataFile : undefined,
      bitmaps: v3 ? rest.bitmaps : undefined,
    };
  });

describe('encodeHeader', () => {
  it('writes every field of version 3 at its specified offset', () => {
    const hex = Buffer.from(encodeHeader(example).subarray(0, 112)).toString('hex').match(/.{16}/g);
    expect(hex).toEqual([
      '514649fb00000003', // magic, version
      '0000000000000000', // backing_backingFileoffset
      '0000000000000010', // backing_backingFilesize, cluster_bits
      '0000000140000000', // size
      '000000000000000a', // crypt_method, l1_size
      '0000000000030000', // l1_table_offset
      '0000000000010000', // refcount_table_offset
      '0000000100000000', // refcount_table_clusters, nb_snapshots
      '0000000000000000', // snapshots_offset
      '0000000000000008', // incompatible_features: compression type
      '0000000000000001', // compatible_features: lazy refcounts
      '0000000000000000', // autoclear_features
      '0000000300000070', // refcount_order, header_length
      '0100000000000000', // compression_type, padding
    ]);
  });

  it('ends version 2 at byte 72 with an empty extension list', () => {
    const bytes = encodeHeader({ ...plain, version: 2 });
    expect(bytes.length).toBe(80);
    expect([...bytes.subarray(72)]).toEqual([0, 0, 0, 0, 0, 0, 0, 0]);
  });

  it('refuses features of version 3 in version 2', () => {
    const features = [
      { compressionType: 'zstd' },
      { refcountOrder: 3 },
      { compatibleFeatures: COMPATIBLE_LAZY_REFCOUNTS },
      { extendedL2: true },
      { dataFile: { name: 'x.data', raw: false } },
      { bitmaps: { count: 1, directorySize: 32, directoryOffset: hostOffset(0x50000) } },
    ] as const;
    for (const feature of features) {
      expect(() => encodeHeader({ ...plain, version: 2, ...feature })).toThrow(
        expect.objectContaining({ code: 'ERR_INTERNAL' }),
      );
    }
  });

  it('fits into a cluster and is read back, for any settings', () => {
    fc.assert(
      fc.property(newHeaders, (header) => {
        const bytes = encodeHeader(header);
        expect(bytes.length).toBeLessThanOrEqual(2 ** header.clusterBits);
        const decoded = decodeHeader(bytes, 'x.qcow2');
        const { bitmaps, backing, dataFile, extendedL2, ...fields } = header;
        const feature = (isThere: boolean, bit: bigint) => (isThere ? bit : 0n);
        expect(decoded).toMatchObject({
          ...fields,
          incompatibleFeatures:
            feature(header.compressionType === 'zstd', INCOMPATIBLE_COMPRESSION_TYPE) |
            feature(extendedL2, INCOMPATIBLE_EXTENDED_L2) |
            feature(dataFile !== undefined, INCOMPATIBLE_DATA_FILE),
          autoclearFeatures:
            feature(bitmaps !== undefined, AUTOCLEAR_BITMAPS) |
            feature(dataFile?.raw === true, AUTOCLEAR_RAW_DATA_FILE),
          cryptMethod: 0,
          snapshotCount: 0,
          snapshotsOffset: 0,
          headerLength: header.version === 3 ? 112 : 72,
        });
        const area = bytes.subarray(0, headerAreaBytes(decoded));
        expect(decodeBackingName(area, decoded, 'x.qcow2')).toBe(backing?.file);
        expect(decodeExtensions(area, decoded, 'x.qcow2')).toEqual({
          backingFormat: backing?.format,
          dataFile: dataFile?.name,
          bitmaps,
        });
        const { version, clusterBits } = header;
        expect(headerBytes(version, clusterBits, { backing, dataFile })).toBe(
          bytes.length - (bitmaps === undefined ? 0 : 32),
        );
      }),
    );
  });

  it('refuses names that do not fit into the first cluster', () => {
    const small: NewHeader = { ...plain, clusterBits: 9 };
    // 112 bytes of header, 16 for the format, 8 for the end of the list.
    const backing = (length: number) => ({ file: 'n'.repeat(length), format: 'raw' as const });
    expect(encodeHeader({ ...small, backing: backing(376) }).length).toBe(512);
    expect(() => encodeHeader({ ...small, backing: backing(377) })).toThrow(
      expect.objectContaining({ code: 'ERR_LIMIT', expected: 512, found: 513 }),
    );
  });

  it.each([
    ['cluster_size=512', MiB],
    ['cluster_size=512,compression_type=zstd', MiB],
    ['cluster_size=4096', MiB],
    ['cluster_size=8192', MiB],
    ['cluster_size=65536', 0],
    ['cluster_size=65536', 3 * 2 ** 40],
    ['cluster_size=2097152,refcount_bits=64', MiB],
    ['compression_type=zstd,lazy_refcounts=on,refcount_bits=1', 64 * MiB],
    ['compat=0.10', MiB],
    ['compat=0.10,cluster_size=512', MiB],
    ['compat=0.10,cluster_size=2097152', 2 ** 40],
    ['extended_l2=on', 2 ** 40],
    ['extended_l2=on,cluster_size=16k', MiB],
    ['extended_l2=on,compression_type=zstd,backing_file=b,backing_fmt=qcow2', MiB],
    ['backing_file=b.raw,backing_fmt=raw', MiB],
    ['backing_file=b.raw,backing_fmt=raw,compat=0.10', MiB],
    ['backing_file=b.raw,backing_fmt=raw,cluster_size=512', MiB],
    [`backing_file=${'n'.repeat(376)},backing_fmt=qcow2,cluster_size=512`, MiB],
    [`backing_file=${'n'.repeat(1023)},backing_fmt=qcow2`, MiB],
    ['backing_file=ein Name mit Ümläuten 😀,backing_fmt=raw', MiB],
    ['data_file=x.data', MiB],
    ['data_file=x.data,data_file_raw=on', MiB],
    ['data_file=x.data,data_file_raw=on,extended_l2=on,cluster_size=16k', MiB],
    ['data_file=x.data,cluster_size=512,backing_file=b.raw,backing_fmt=raw', MiB],
    [`data_file=./././x.data,backing_file=${'n'.repeat(1023)},backing_fmt=raw`, MiB],
    [`data_file=${'./'.repeat(1992)}x,cluster_size=8k,backing_file=b,backing_fmt=raw`, MiB],
  ])('has the same bytes as the header of qemu-img, case %#', async (options, size) => {
    const image = scratch('made.qcow2');
    const args = ['create', '-q', '-u', '-f', 'qcow2', '-o', options, image, String(size)];
    await runOk('qemu-img', args, { cwd: dirname(image) });
    const file = readFileSync(image);
    const header = decodeHeader(file, image);
    expect(header.virtualSize).toBe(size);
    const firstCluster = new Uint8Array(2 ** header.clusterBits);
    const option = (name: string) => new RegExp(`(?:^|,)${name}=([^,]*)`).exec(options)?.[1];
    const [backingFile, format, name] = ['backing_file', 'backing_fmt', 'data_file'].map(option);
    firstCluster.set(
      encodeHeader({
        ...header,
        extendedL2: option('extended_l2') === 'on',
        backing:
          backingFile === undefined ? undefined : { file: backingFile, format: format as 'raw' | 'qcow2' },
        dataFile: name === undefined ? undefined : { name, raw: option('data_file_raw') === 'on' },
      }),
    );
    expect(Buffer.compare(file.subarray(0, firstCluster.length), firstCluster)).toBe(0);
  });

  it('has the same bytes as the header of qemu-img with bitmaps', async () => {
    const image = scratch('bitmaps.qcow2');
    await runOk(
      'qemu-img',
      ['create', '-q', '-u', '-f', 'qcow2', '-b', 'b.raw', '-F', 'raw', image, String(MiB)],
      { cwd: dirname(image) },
    );
    for (const bitmap of ['one', 'two']) await runOk('qemu-img', ['bitmap', '--add', image, bitmap]);
    const file = readFileSync(image);
    const header = decodeHeader(file, image);
    const { bitmaps } = decodeExtensions(file.subarray(0, headerAreaBytes(header)), header, image);
    const firstCluster = new Uint8Array(2 ** header.clusterBits);
    const backing = { file: 'b.raw', format: 'raw' as const };
    firstCluster.set(encodeHeader({ ...header, extendedL2: false, backing, bitmaps }));
    expect(Buffer.compare(file.subarray(0, firstCluster.length), firstCluster)).toBe(0);
  });
});
