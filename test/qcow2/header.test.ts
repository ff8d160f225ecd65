import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Qcow2cError } from '../../src/errors.js';
import { hostOffset } from '../../src/qcow2/addresses.js';
import { writeU32, writeU64 } from '../../src/qcow2/be64.js';
import {
  COMPATIBLE_LAZY_REFCOUNTS,
  INCOMPATIBLE_DATA_FILE,
  INCOMPATIBLE_EXTENDED_L2,
} from '../../src/qcow2/features.js';
import { decodeHeader, isQcow2 } from '../../src/qcow2/header.js';
import { encodeHeader, type NewHeader } from '../../src/qcow2/new-header.js';
import { useScratch } from '../e2e/scratch.js';
import { create } from '../oracle/qemu-img.js';
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

describe('isQcow2', () => {
  it('checks the magic only', () => {
    expect(isQcow2(Uint8Array.of(0x51, 0x46, 0x49, 0xfb))).toBe(true);
    expect(isQcow2(Uint8Array.of(0x51, 0x46, 0x49))).toBe(false);
    expect(isQcow2(Uint8Array.of(0x51, 0x46, 0x49, 0xfa, 0, 0, 0, 3))).toBe(false);
  });
});

describe('decodeHeader', () => {
  it('reads an image with a backing file and a snapshot', async () => {
    const backing = scratch('backing.raw');
    const image = scratch('overlay.qcow2');
    writeFileSync(backing, new Uint8Array(512));
    await create(image, MiB, ['-b', 'backing.raw', '-F', 'raw']);
    await runOk('qemu-img', ['snapshot', '-c', 'first', image]);
    const file = readFileSync(image);
    const header = decodeHeader(file, image);
    const end = header.backingFileOffset + header.backingFileSize;
    expect(file.toString('latin1', header.backingFileOffset, end)).toBe('backing.raw');
    expect(header.snapshotCount).toBe(1);
    expect(header.snapshotsOffset).toBeGreaterThan(0);
  });

  it('reads an image with extended L2 entries, whose L2 tables cover half as much', async () => {
    const image = scratch('extended.qcow2');
    await create(image, 2 ** 30, ['-o', 'extended_l2=on']);
    const bytes = readFileSync(image).subarray(0, 512);
    const header = decodeHeader(bytes, image);
    expect(header).toMatchObject({ incompatibleFeatures: INCOMPATIBLE_EXTENDED_L2, l1Entries: 4 });
    writeU32(bytes, 36, 3);
    expect(() => decodeHeader(bytes, image)).toThrow(expect.objectContaining({ code: 'ERR_CORRUPT' }));
  });

  it('reads extended L2 entries with the smallest allowed clusters', async () => {
    const image = scratch('smallest.qcow2');
    await create(image, MiB, ['-o', 'extended_l2=on,cluster_size=16k']);
    expect(decodeHeader(readFileSync(image), image).clusterBits).toBe(14);
  });

  it('reads an image with a raw external data file', async () => {
    const image = scratch('external.qcow2');
    await create(image, MiB, ['-o', `data_file=${scratch('external.data')},data_file_raw=on`]);
    const { incompatibleFeatures } = decodeHeader(readFileSync(image), image);
    expect(incompatibleFeatures).toBe(INCOMPATIBLE_DATA_FILE);
  });

  it('assumes zlib if the header ends before the compression type', () => {
    const bytes = encodeHeader(plain);
    writeU32(bytes, 100, 104);
    bytes[104] = 1;
    expect(decodeHeader(bytes, 'x.qcow2')).toMatchObject({ headerLength: 104, compressionType: 'zlib' });
  });

  it('ignores the size of an absent backing file name', () => {
    const bytes = encodeHeader(plain);
    writeU32(bytes, 16, 0xffffffff);
    expect(decodeHeader(bytes, 'x.qcow2').backingFileSize).toBe(0);
  });

  it('reports that another file is no qcow2 image', () => {
    const error = expect.objectContaining({ code: 'ERR_FORMAT', message: "'x.raw' is not a qcow2 image" });
    expect(() => decodeHeader(new Uint8Array(512), 'x.raw')).toThrow(error);
    expect(() => decodeHeader(new Uint8Array(0), 'x.raw')).toThrow(error);
  });

  it.each([
    [3, 4],
    [3, 71],
    [3, 103],
    [3, 111],
    [2, 71],
  ] as const)(
    'says of a file of version %i that ends after %i bytes that it is corrupt',
    (version, length) => {
      const bytes = encodeHeader({ ...plain, version }).subarray(0, length);
      expect(() => decodeHeader(bytes, 'x.qcow2')).toThrow(
        expect.objectContaining({ code: 'ERR_CORRUPT', found: String(length) }),
      );
    },
  );

  it.each([
    ['version', 4, 1, 'ERR_UNSUPPORTED', '2 or 3'],
    ['version', 4, 4, 'ERR_UNSUPPORTED', '2 or 3'],
    ['backing_file_offset', 8, 65537n, 'ERR_CORRUPT', 'at most 65536'],
    ['cluster_bits', 20, 8, 'ERR_CORRUPT', '9 to 21'],
    ['cluster_bits', 20, 22, 'ERR_CORRUPT', '9 to 21'],
    ['size', 24, 2n ** 51n + 1n, 'ERR_CORRUPT', 'at most 2251799813685248'],
    ['crypt_method', 32, 3, 'ERR_UNSUPPORTED', '0 to 2'],
    ['l1_size', 36, 9, 'ERR_CORRUPT', '10 to 4194304'],
    ['l1_size', 36, 4194305, 'ERR_CORRUPT', '10 to 4194304'],
    ['l1_table_offset', 40, 0x30200n, 'ERR_CORRUPT', 'a multiple of 65536'],
    ['l1_table_offset', 40, 0n, 'ERR_CORRUPT', 'at least 65536'],
    ['l1_table_offset', 40, 2n ** 63n, 'ERR_CORRUPT', 'at most 9007199254740911'],
    ['refcount_table_offset', 48, 1n, 'ERR_CORRUPT', 'a multiple of 65536'],
    ['refcount_table_offset', 48, 0n, 'ERR_CORRUPT', 'at least 65536'],
    ['refcount_table_offset', 48, 2n ** 53n - 65536n, 'ERR_CORRUPT', 'at most 9007199254675455'],
    ['refcount_table_clusters', 56, 0, 'ERR_CORRUPT', '1 to 128'],
    ['refcount_table_clusters', 56, 129, 'ERR_CORRUPT', '1 to 128'],
    ['nb_snapshots', 60, 65537, 'ERR_CORRUPT', '0 to 65536'],
    ['snapshots_offset', 64, 8n, 'ERR_CORRUPT', 'a multiple of 65536'],
    ['snapshots_offset', 60, 1, 'ERR_CORRUPT', 'at least 65536'],
    ['incompatible_features', 72, 8n, 'ERR_CORRUPT', 'bit 3 clear with compression type 0'],
    ['cluster_bits', 20, 13, 'ERR_CORRUPT', 'at least 14 with extended L2 entries', [72, 16n]],
    ['autoclear_features', 88, 2n, 'ERR_CORRUPT', /^no raw external data bit/],
    ['refcount_order', 96, 7, 'ERR_CORRUPT', '0 to 6'],
    ['header_length', 100, 96, 'ERR_CORRUPT', '104 to 65536'],
    ['header_length', 100, 109, 'ERR_CORRUPT', 'a multiple of 8'],
    ['header_length', 100, 65544, 'ERR_CORRUPT', '104 to 65536'],
    ['compression_type', 104, 0x02000000, 'ERR_UNSUPPORTED', '0 (zlib) or 1 (zstd)', [72, 8n]],
    ['incompatible_features', 104, 0x01000000, 'ERR_CORRUPT', 'bit 3 set with compression type 1'],
    ['backing_file_size', 16, 1024, 'ERR_CORRUPT', '0 to 1023', [8, 512n]],
    ['backing_file_size', 16, 11, 'ERR_CORRUPT', '0 to 10', [8, 65526n]],
  ] as const)(
    'refuses a bad %s (byte %i: %s) with %s, expected %s',
    (field, at, value, code, expected, also?) => {
      const bytes = encodeHeader(plain);
      if (also !== undefined) writeU64(bytes, also[0], also[1]);
      if (typeof value === 'bigint') writeU64(bytes, at, value);
      else writeU32(bytes, at, value);
      expect(() => decodeHeader(bytes, 'x.qcow2')).toThrow(
        expect.objectContaining({
          code,
          file: 'x.qcow2',
          expected: typeof expected === 'string' ? expected : expect.stringMatching(expected),
          message: expect.stringContaining(`The qcow2 header of 'x.qcow2' has ${field} `),
        }),
      );
    },
  );

  it('reports a disk of 8 PiB, which QEMU would open, as unsupported and not corrupt', async () => {
    const image = scratch('huge.qcow2');
    await create(image, 2 ** 53, ['-o', 'cluster_size=2M']);
    expect(() => decodeHeader(readFileSync(image), image)).toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED', found: '9007199254740992' }),
    );
  });

  it('names the unknown features of an image, by its own table if that lists them', () => {
    const bytes = encodeHeader(plain);
    writeU64(bytes, 72, (1n << 5n) | (1n << 63n));
    // The table's first entry, "dirty bit", becomes bit 5 and gets a name that would drive a terminal.
    bytes[121] = 5;
    bytes.set(Buffer.from('time\x1b[travel\0'), 122);
    expect(() => decodeHeader(bytes, 'x.qcow2')).toThrow(
      new Qcow2cError(
        'ERR_UNSUPPORTED',
        "The qcow2 image 'x.qcow2' uses features that are not supported: 'time\\x1b[travel', 'bit 63'",
        { file: 'x.qcow2', offset: 72, found: "'time\\x1b[travel', 'bit 63'" },
      ),
    );
  });

  it('returns a header for any bytes after the magic, or throws a typed error', () => {
    const edits = fc.array(fc.tuple(fc.nat(511), fc.nat(255)), { maxLength: 12 });
    fc.assert(
      fc.property(edits, fc.integer({ min: 4, max: 512 }), (changes, length) => {
        const bytes = encodeHeader(example);
        for (const [at, value] of changes) if (at >= 4) bytes[at] = value;
        try {
          const header = decodeHeader(bytes.subarray(0, length), 'x.qcow2');
          expect(header.l1Entries * 8).toBeLessThanOrEqual(32 * MiB);
          expect(header.refcountTableClusters * 2 ** header.clusterBits).toBeLessThanOrEqual(8 * MiB);
          expect(header.backingFileOffset + header.backingFileSize).toBeLessThanOrEqual(
            2 ** header.clusterBits,
          );
        } catch (error) {
          if (!(error instanceof Qcow2cError) || error.code === 'ERR_INTERNAL') throw error;
        }
      }),
      { numRuns: 2000 },
    );
  });
});
