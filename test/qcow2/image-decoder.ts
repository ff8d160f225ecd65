/**
 * Reads a whole qcow2 image from memory, independently of src: what the guest sees, and how often every
 * host cluster is referenced against what its refcount says. Throws at the first thing that is wrong.
 */
import { inflateRawSync } from 'node:zlib';

export interface DecodedCluster {
  readonly kind: 'normal' | 'compressed';
  readonly bytes: Buffer;
}

export interface DecodedImage {
  readonly clusterSize: number;
  readonly virtualSize: number;
  /** The guest clusters that are allocated, by index. */
  readonly clusters: ReadonlyMap<number, DecodedCluster>;
  /** References counted by walking the tables, by host cluster. */
  readonly references: ReadonlyMap<number, number>;
  /** Refcounts that are stored and not 0, by host cluster. */
  readonly refcounts: ReadonlyMap<number, number>;
}

const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;
const RESERVED = ~(COPIED | ((1n << 56n) - (1n << 9n))) & ((1n << 64n) - 1n);

/** @param file the image's bytes, to its length; what lies behind reads as zeros, as in QEMU */
export function decodeImage(file: Buffer): DecodedImage {
  const cut = (offset: number, length: number) => {
    const bytes = Buffer.alloc(length);
    file.copy(bytes, 0, offset, Math.min(file.length, offset + length));
    return bytes;
  };
  const header = cut(0, 112);
  if (header.readUInt32BE(0) !== 0x514649fb) throw new Error('no qcow2 header');
  const version = header.readUInt32BE(4);
  const clusterSize = 2 ** header.readUInt32BE(20);
  const virtualSize = Number(header.readBigUInt64BE(24));
  const l1Size = header.readUInt32BE(36);
  const l1Offset = Number(header.readBigUInt64BE(40));
  const refcountTableOffset = Number(header.readBigUInt64BE(48));
  const refcountTableClusters = header.readUInt32BE(56);
  const refcountBits = version === 2 ? 16 : 2 ** header.readUInt32BE(96);

  const references = new Map<number, number>();
  const refer = (offset: number, length: number) => {
    for (
      let cluster = Math.floor(offset / clusterSize);
      cluster * clusterSize < offset + length;
      cluster += 1
    ) {
      references.set(cluster, (references.get(cluster) ?? 0) + 1);
    }
  };
  const aligned = (offset: number, what: string) => {
    if (offset === 0 || offset % clusterSize !== 0) throw new Error(`${what} at offset ${offset}`);
    return offset;
  };
  const entries = (table: Buffer) =>
    Array.from({ length: table.length / 8 }, (_, index) => table.readBigUInt64BE(index * 8));
  const standard = (raw: bigint, what: string) => {
    if ((raw & RESERVED) !== 0n || (raw & COPIED) === 0n) throw new Error(`${what} ${raw.toString(16)}`);
    return aligned(Number(raw & ~COPIED), what);
  };

  refer(0, clusterSize);
  const refcounts = new Map<number, number>();
  refer(aligned(refcountTableOffset, 'refcount table'), refcountTableClusters * clusterSize);
  for (const [index, raw] of entries(
    cut(refcountTableOffset, refcountTableClusters * clusterSize),
  ).entries()) {
    if (raw === 0n) continue;
    const offset = aligned(Number(raw), 'refcount block');
    refer(offset, clusterSize);
    const block = cut(offset, clusterSize);
    const perBlock = (clusterSize * 8) / refcountBits;
    for (let entry = 0; entry < perBlock; entry += 1) {
      const count = refcountOf(block, entry, refcountBits);
      if (count > 0) refcounts.set(index * perBlock + entry, count);
    }
  }

  const clusters = new Map<number, DecodedCluster>();
  if (l1Size > 0) refer(aligned(l1Offset, 'L1 table'), l1Size * 8);
  for (const [index, l1Entry] of entries(cut(l1Offset, l1Size * 8)).entries()) {
    if (l1Entry === 0n) continue;
    const l2Offset = standard(l1Entry, 'L1 entry');
    refer(l2Offset, clusterSize);
    for (const [at, raw] of entries(cut(l2Offset, clusterSize)).entries()) {
      if (raw === 0n) continue;
      const guest = index * (clusterSize / 8) + at;
      if (guest * clusterSize >= virtualSize) throw new Error(`guest cluster ${guest} is past the disk`);
      if ((raw & COMPRESSED) === 0n) {
        const offset = standard(raw, 'L2 entry');
        refer(offset, clusterSize);
        clusters.set(guest, { kind: 'normal', bytes: cut(offset, clusterSize) });
        continue;
      }
      if ((raw & COPIED) !== 0n) throw new Error('a compressed cluster with bit 63');
      const offsetBits = BigInt(62 - (Math.log2(clusterSize) - 8));
      const offset = Number(raw & ((1n << offsetBits) - 1n));
      const sectors = 1 + Number((raw & (COMPRESSED - 1n)) >> offsetBits);
      const start = offset - (offset % 512);
      refer(start, sectors * 512);
      // Whatever follows the payload in its last sector is not zeros, but somebody else's bytes.
      const bytes = inflateRawSync(cut(offset, start + sectors * 512 - offset), {
        maxOutputLength: clusterSize,
      });
      if (bytes.length !== clusterSize)
        throw new Error(`guest cluster ${guest} is ${bytes.length} bytes long`);
      clusters.set(guest, { kind: 'compressed', bytes });
    }
  }
  return { clusterSize, virtualSize, clusters, references, refcounts };
}

function refcountOf(block: Buffer, entry: number, bits: number): number {
  if (bits === 64) return Number(block.readBigUInt64BE(entry * 8));
  if (bits >= 8) return block.readUIntBE((entry * bits) / 8, bits / 8);
  const byte = block.readUInt8(Math.floor((entry * bits) / 8));
  return Math.floor(byte / 2 ** ((entry * bits) % 8)) % 2 ** bits;
}
