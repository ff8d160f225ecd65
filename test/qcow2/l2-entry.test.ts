import { readFileSync, writeFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { guestOffset, hostOffset } from '../../src/qcow2/addresses.js';
import { readU64 } from '../../src/qcow2/be64.js';
import { decodeHeader } from '../../src/qcow2/header.js';
import { decodeL1Entry } from '../../src/qcow2/l1-entry.js';
import {
  ALL_DATA,
  ALL_ZEROS,
  decodeL2Entry,
  encodeCompressedCluster,
  encodeExternalCluster,
  encodeNormalCluster,
  encodeSubclusters,
} from '../../src/qcow2/l2-entry.js';
import { isContradictory, subclusterRun } from '../../src/qcow2/subclusters.js';
import { useScratch } from '../e2e/scratch.js';
import { convert } from '../oracle/qemu-img.js';

const scratch = useScratch();
const clusterBitsRange = fc.integer({ min: 9, max: 21 });

describe('L2 entry of a normal cluster', () => {
  it('is the offset with bit 63 set', () => {
    expect(encodeNormalCluster(hostOffset(0x12_3450_0000))).toBe(0x8000_0012_3450_0000n);
  });

  it('is read back for every valid offset of a cluster', () => {
    fc.assert(
      fc.property(clusterBitsRange, fc.integer({ min: 1, max: 2 ** 32 - 1 }), (clusterBits, cluster) => {
        const offset = hostOffset(cluster * 2 ** clusterBits);
        const entry = decodeL2Entry(encodeNormalCluster(offset), clusterBits);
        expect(entry).toEqual({ kind: 'normal', offset, copied: true });
      }),
    );
  });

  it('is refused for offset 0 and for unaligned offsets', () => {
    for (const offset of [0, 1, 65537]) {
      expect(() => encodeNormalCluster(hostOffset(offset))).toThrow(
        expect.objectContaining({ code: 'ERR_INTERNAL' }),
      );
    }
  });
});

describe('L2 entry of a cluster in an external data file', () => {
  it('is its guest offset with bit 63 set, which distinguishes offset 0 from unallocated', () => {
    expect(encodeExternalCluster(guestOffset(0))).toBe(0x8000_0000_0000_0000n);
    expect(encodeExternalCluster(guestOffset(0x12_3450_0000))).toBe(0x8000_0012_3450_0000n);
  });
});

describe('the second number of an extended L2 entry', () => {
  it('has allocated subclusters in the low half and zero subclusters in the high half', () => {
    expect(encodeSubclusters(ALL_DATA)).toBe(0x0000_0000_ffff_ffffn);
    expect(encodeSubclusters(ALL_ZEROS)).toBe(0xffff_ffff_0000_0000n);
    expect(encodeSubclusters({ data: 0x8000_0001, zero: 0x4000_0002 })).toBe(0x4000_0002_8000_0001n);
  });

  it('is read back by subcluster, and never sets both bits of one', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), fc.boolean(), (data, mask, apart) => {
        const zero = apart ? Number(BigInt(mask) & ~BigInt(data)) : mask;
        const both = (BigInt(data) & BigInt(zero)) !== 0n;
        if (both) {
          expect(() => encodeSubclusters({ data, zero })).toThrow(/internal error/);
          return;
        }
        const raw = encodeSubclusters({ data, zero });
        const stored = [Number(raw & 0xffffffffn), Number(raw >> 32n)] as const;
        expect(isContradictory(...stored, true)).toBe(false);
        for (let index = 0; index < 32; index += 1) {
          const bit = (mask: number) => Math.floor(mask / 2 ** index) % 2 === 1;
          const expected = bit(data) ? 'normal' : bit(zero) ? 'zero' : 'unallocated';
          expect(subclusterRun(...stored, index).kind).toBe(expected);
        }
      }),
    );
  });
});

describe('L2 entry of a compressed cluster', () => {
  it.each([
    // x = 54: one byte in the second sector of a host cluster.
    [16, 0x50200, 1, 0x4000_0000_0005_0200n],
    // x = 54: 1000 bytes from the last byte of a sector touch two sectors more.
    [16, 0x501ff, 1000, 0x4080_0000_0005_01ffn],
    // x = 54: a sector filled to its last byte touches no other.
    [16, 0x50000, 512, 0x4000_0000_0005_0000n],
    [16, 0x50000, 513, 0x4040_0000_0005_0000n],
    // x = 61: one bit counts the sectors.
    [9, 0x50001, 512, 0x6000_0000_0005_0001n],
    // x = 49: the longest payload in the highest place; 4096 sectors more, all bits of the offset set.
    [21, 2 ** 49 - 1, 2 ** 21, 0x6001_ffff_ffff_ffffn],
  ])(
    'with clusterBits %i, offset %i and length %i has the bits of the specification',
    (bits, offset, length, raw) => {
      expect(encodeCompressedCluster(hostOffset(offset), length, bits)).toBe(raw);
    },
  );

  it('is read back with a length that ends with the last sector touched', () => {
    const cases = clusterBitsRange.chain((clusterBits) => {
      const highest = Math.min(2 ** (70 - clusterBits), 2 ** 52) - 1;
      return fc.record({
        clusterBits: fc.constant(clusterBits),
        offset: fc.oneof(fc.integer({ min: 0, max: highest }), fc.nat(2 ** 22)),
        length: fc.integer({ min: 1, max: 2 ** clusterBits }),
      });
    });
    fc.assert(
      fc.property(cases, ({ clusterBits, offset, length }) => {
        const raw = encodeCompressedCluster(hostOffset(offset), length, clusterBits);
        const end = Math.ceil((offset + length) / 512) * 512;
        expect(decodeL2Entry(raw, clusterBits)).toEqual({
          kind: 'compressed',
          offset,
          storedLength: end - offset,
        });
        expect(raw >> 62n).toBe(1n);
      }),
    );
  });

  it('is refused when the offset needs more than x bits, naming the limit', () => {
    expect(() => encodeCompressedCluster(hostOffset(2 ** 49), 1, 21)).toThrow(
      expect.objectContaining({ code: 'ERR_LIMIT', message: expect.stringContaining('562949953421312') }),
    );
    expect(() => encodeCompressedCluster(hostOffset(2 ** 49), 1, 20)).not.toThrow();
  });

  it('is refused for an empty payload and for more than a cluster', () => {
    for (const length of [0, -1, 65537, Number.NaN]) {
      expect(() => encodeCompressedCluster(hostOffset(0x50000), length, 16)).toThrow(
        expect.objectContaining({ code: 'ERR_INTERNAL' }),
      );
    }
  });

  it('with an offset past 2^53 is corrupt', () => {
    expect(() => decodeL2Entry((1n << 62n) | (1n << 55n), 9)).toThrow(
      expect.objectContaining({ code: 'ERR_CORRUPT' }),
    );
  });
});

describe('L2 entry of a cluster without data', () => {
  it('is unallocated without an offset, even with bit 63 set', () => {
    expect(decodeL2Entry(0n, 16)).toEqual({ kind: 'unallocated' });
    expect(decodeL2Entry(1n << 63n, 16)).toEqual({ kind: 'unallocated' });
  });

  it('reads as zeros with bit 0 set, with or without a host cluster', () => {
    expect(decodeL2Entry(1n, 16)).toEqual({ kind: 'zero' });
    expect(decodeL2Entry(0x8000_0000_0005_0001n, 16)).toEqual({ kind: 'zero', offset: 0x50000 });
  });
});

describe('the tables of an image made by qemu-img', () => {
  it.each([512, 4096, 65536, 2097152])(
    'are decoded and encoded alike, clusters of %i bytes',
    async (size) => {
      const raw = scratch(`${size}.raw`);
      const image = scratch(`${size}.qcow2`);
      const guest = new Uint8Array(7 * size);
      const random = new Uint8Array(size).map((_, i) => (Math.imul(i + 1, 0x9e3779b1) ^ (i * i * i)) >>> 13);
      guest.fill(0x55, 0, size);
      guest.set(random.subarray(0, size / 2), size);
      guest.set(random.subarray(0, size / 3), 4 * size);
      guest.set(random, 6 * size);
      writeFileSync(raw, guest);
      await convert(['-c', '-o', `cluster_size=${size}`], [raw], image);

      const file = readFileSync(image);
      const header = decodeHeader(file, image);
      const l1Entry = readU64(file, header.l1Offset);
      const { l2TableOffset = 0, copied } = decodeL1Entry(l1Entry);
      expect(copied).toBe(true);
      const kinds = [0, 1, 2, 3, 4, 5, 6].map((cluster) => {
        const rawEntry = readU64(file, l2TableOffset + cluster * 8);
        const entry = decodeL2Entry(rawEntry, header.clusterBits);
        const expected = Buffer.from(guest.subarray(cluster * size, (cluster + 1) * size));
        if (entry.kind === 'compressed') {
          const stored = file.subarray(entry.offset, entry.offset + entry.storedLength);
          const { buffer, engine } = inflateRawSync(stored, {
            info: true,
            maxOutputLength: size,
          }) as unknown as {
            buffer: Buffer;
            engine: { bytesWritten: number };
          };
          expect(buffer.equals(expected)).toBe(true);
          expect(encodeCompressedCluster(entry.offset, engine.bytesWritten, header.clusterBits)).toBe(
            rawEntry,
          );
        } else if (entry.kind === 'normal') {
          expect(file.subarray(entry.offset, entry.offset + size).equals(expected)).toBe(true);
          expect(encodeNormalCluster(entry.offset)).toBe(rawEntry);
        } else {
          expect(expected.every((byte) => byte === 0)).toBe(true);
        }
        return entry.kind;
      });
      const [c, u] = ['compressed', 'unallocated'];
      expect(kinds).toEqual([c, c, u, u, c, u, 'normal']);
    },
  );
});
