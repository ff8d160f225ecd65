/**
 * Decodes a qcow2 image in memory, independently of src: the guest's view, and for every host cluster the references
 * and the refcount. Throws at the first fault.
 */
import { inflateRawSync } from 'node:zlib';

export interface DecodedCluster {
  /** External: in the data file, at its guest offset; zero: without a host cluster. */
  readonly kind: 'normal' | 'compressed' | 'zero' | 'external';
  /** Of the host cluster, or inflated; the guest's view unless a subcluster differs. */
  readonly bytes: Buffer;
  /** With extended L2 entries, unless compressed: bit n for subcluster n. */
  readonly subclusters?: { readonly data: number; readonly zero: number };
}

export interface DecodedBitmap {
  readonly name: string;
  readonly granularityBits: number;
  readonly auto: boolean;
  /** Whole clusters. */
  readonly bits: Buffer;
}

interface DecodedImage {
  readonly clusterSize: number;
  readonly virtualSize: number;
  readonly bitmaps: readonly DecodedBitmap[];
  /** The guest clusters that are allocated, by index. */
  readonly clusters: ReadonlyMap<number, DecodedCluster>;
  /** References counted by walking the tables, by host cluster. */
  readonly references: ReadonlyMap<number, number>;
  /** Refcounts that are stored and not 0, by host cluster. */
  readonly refcounts: ReadonlyMap<number, number>;
  readonly tables: readonly DecodedTable[];
}

interface DecodedTable {
  readonly kind: 'L1' | 'L2' | 'refcount table' | 'refcount block';
  /** Of its last byte, in the file. */
  readonly end: number;
  /** Offset of the first guest data that it points to or counts; Infinity: none. */
  readonly firstData: number;
}

const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;
const RESERVED = ~(COPIED | ((1n << 56n) - (1n << 9n))) & ((1n << 64n) - 1n);

/**
 * @param file the image's bytes; past their end the file reads as zeros, as in QEMU
 * @param dataFile those of the external data file
 */
export function decodeImage(file: Buffer, dataFile = Buffer.alloc(0)): DecodedImage {
  const cut = (offset: number, length: number, from = file) => {
    const bytes = Buffer.alloc(length);
    from.copy(bytes, 0, offset, Math.min(from.length, offset + length));
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
  const features = version === 2 ? 0n : header.readBigUInt64BE(72);
  const isExternal = (features & 4n) !== 0n;
  const entryBytes = (features & 16n) !== 0n ? 16 : 8;

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
  const blocks = new Map<number, number>();
  refer(aligned(refcountTableOffset, 'refcount table'), refcountTableClusters * clusterSize);
  for (const [index, raw] of entries(
    cut(refcountTableOffset, refcountTableClusters * clusterSize),
  ).entries()) {
    if (raw === 0n) continue;
    const offset = aligned(Number(raw), 'refcount block');
    blocks.set(index, offset);
    refer(offset, clusterSize);
    const block = cut(offset, clusterSize);
    const perBlock = (clusterSize * 8) / refcountBits;
    for (let entry = 0; entry < perBlock; entry += 1) {
      const count = refcountOf(block, entry, refcountBits);
      if (count > 0) refcounts.set(index * perBlock + entry, count);
    }
  }

  /** Offsets of guest data: of each L2 table, and of all. */
  const dataOf = new Map<number, number[]>();
  const zeros = Buffer.alloc(clusterSize);
  const clusters = new Map<number, DecodedCluster>();
  if (l1Size > 0) refer(aligned(l1Offset, 'L1 table'), l1Size * 8);
  for (const [index, l1Entry] of entries(cut(l1Offset, l1Size * 8)).entries()) {
    if (l1Entry === 0n) continue;
    const l2Offset = standard(l1Entry, 'L1 entry');
    refer(l2Offset, clusterSize);
    const dataOffsets: number[] = [];
    dataOf.set(l2Offset, dataOffsets);
    const words = entries(cut(l2Offset, clusterSize));
    for (let at = 0; at < clusterSize / entryBytes; at += 1) {
      const raw = words[(at * entryBytes) / 8]!;
      const second = entryBytes === 16 ? words[at * 2 + 1]! : 0n;
      if (raw === 0n && second === 0n) continue;
      const guest = index * (clusterSize / entryBytes) + at;
      if (guest * clusterSize >= virtualSize) throw new Error(`guest cluster ${guest} is past the disk`);
      if ((raw & COMPRESSED) === 0n) {
        const [data, zero] = [Number(second & 0xffffffffn), Number(second >> 32n)];
        if ((data & zero) !== 0 || (data !== 0 && raw === 0n)) throw new Error(`subclusters ${second}`);
        const subclusters = entryBytes === 16 ? { subclusters: { data, zero } } : {};
        if (raw === 0n || (raw === 1n && entryBytes === 8 && version === 3)) {
          clusters.set(guest, { kind: 'zero', bytes: zeros, ...subclusters });
        } else if (isExternal) {
          const offset = guest * clusterSize;
          if (raw !== (COPIED | BigInt(offset))) throw new Error(`guest cluster ${guest} is at ${raw}`);
          clusters.set(guest, {
            kind: 'external',
            bytes: cut(offset, clusterSize, dataFile),
            ...subclusters,
          });
        } else {
          const offset = standard(raw, 'L2 entry');
          refer(offset, clusterSize);
          dataOffsets.push(offset);
          clusters.set(guest, { kind: 'normal', bytes: cut(offset, clusterSize), ...subclusters });
        }
        continue;
      }
      if (second !== 0n || isExternal) throw new Error('a compressed cluster where none can be');
      if ((raw & COPIED) !== 0n) throw new Error('a compressed cluster with bit 63');
      const offsetBits = BigInt(62 - (Math.log2(clusterSize) - 8));
      const offset = Number(raw & ((1n << offsetBits) - 1n));
      const sectors = 1 + Number((raw & (COMPRESSED - 1n)) >> offsetBits);
      const start = offset - (offset % 512);
      refer(start, sectors * 512);
      dataOffsets.push(offset);
      // The bytes after the payload in its last sector are not zeros: they belong to other clusters.
      const bytes = inflateRawSync(cut(offset, start + sectors * 512 - offset), {
        maxOutputLength: clusterSize,
      });
      if (bytes.length !== clusterSize)
        throw new Error(`guest cluster ${guest} is ${bytes.length} bytes long`);
      clusters.set(guest, { kind: 'compressed', bytes });
    }
  }
  const bitmaps = decodeBitmaps({ cut, refer, aligned, entries, version, clusterSize });
  const all = [...dataOf.values()].flat();
  const first = (offsets: readonly number[]) =>
    offsets.reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  const reach = ((clusterSize * 8) / refcountBits) * clusterSize;
  const firstIn = new Map<number, number>();
  for (const offset of all) {
    const block = Math.floor(offset / reach);
    firstIn.set(block, Math.min(firstIn.get(block) ?? offset, offset));
  }
  const tables: DecodedTable[] = [
    { kind: 'L1', end: l1Offset + l1Size * 8, firstData: first(all) },
    {
      kind: 'refcount table',
      end: refcountTableOffset + refcountTableClusters * clusterSize,
      firstData: first(all),
    },
    ...[...dataOf].map(([offset, data]) => ({
      kind: 'L2' as const,
      end: offset + clusterSize,
      firstData: first(data),
    })),
    ...[...blocks].map(([index, offset]) => ({
      kind: 'refcount block' as const,
      end: offset + clusterSize,
      firstData: firstIn.get(index) ?? Number.POSITIVE_INFINITY,
    })),
  ];
  return { clusterSize, virtualSize, bitmaps, clusters, references, refcounts, tables };
}

/** The bitmaps, which the header's extension list leads to. */
function decodeBitmaps(image: {
  readonly cut: (offset: number, length: number) => Buffer;
  readonly refer: (offset: number, length: number) => void;
  readonly aligned: (offset: number, what: string) => number;
  readonly entries: (table: Buffer) => bigint[];
  readonly version: number;
  readonly clusterSize: number;
}): DecodedBitmap[] {
  const { cut, refer, aligned, entries, version, clusterSize } = image;
  const area = cut(0, clusterSize);
  const marked = version === 3 && (area.readBigUInt64BE(88) & 1n) !== 0n;
  let at = version === 3 ? 112 : 72;
  while (![0, 0x23852875].includes(area.readUInt32BE(at)))
    at += 8 + Math.ceil(area.readUInt32BE(at + 4) / 8) * 8;
  if ((area.readUInt32BE(at) !== 0) !== marked) throw new Error('the bitmaps bit and extension disagree');
  if (!marked) return [];
  const size = Number(area.readBigUInt64BE(at + 16));
  const directoryOffset = aligned(Number(area.readBigUInt64BE(at + 24)), 'bitmap directory');
  refer(directoryOffset, size);
  const directory = cut(directoryOffset, size);
  const bitmaps: DecodedBitmap[] = [];
  for (let entry = 0; entry < size; ) {
    const nameSize = directory.readUInt16BE(entry + 18);
    const tableOffset = aligned(Number(directory.readBigUInt64BE(entry)), 'bitmap table');
    const tableBytes = directory.readUInt32BE(entry + 8) * 8;
    refer(tableOffset, tableBytes);
    const bits = entries(cut(tableOffset, tableBytes)).map((raw) => {
      if (raw < 2n) return Buffer.alloc(clusterSize, raw === 0n ? 0 : 0xff);
      refer(aligned(Number(raw), 'bitmap data'), clusterSize);
      return cut(Number(raw), clusterSize);
    });
    bitmaps.push({
      name: directory.toString('utf8', entry + 24, entry + 24 + nameSize),
      granularityBits: directory.readUInt8(entry + 17),
      auto: directory.readUInt32BE(entry + 12) === 2,
      bits: Buffer.concat(bits),
    });
    entry += Math.ceil((24 + nameSize) / 8) * 8;
  }
  if (bitmaps.length !== area.readUInt32BE(at + 8)) throw new Error(`${bitmaps.length} bitmaps`);
  return bitmaps;
}

function refcountOf(block: Buffer, entry: number, bits: number): number {
  if (bits === 64) return Number(block.readBigUInt64BE(entry * 8));
  if (bits >= 8) return block.readUIntBE((entry * bits) / 8, bits / 8);
  const byte = block.readUInt8(Math.floor((entry * bits) / 8));
  return Math.floor(byte / 2 ** ((entry * bits) % 8)) % 2 ** bits;
}
