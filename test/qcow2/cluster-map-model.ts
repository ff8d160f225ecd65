/**
 * A model of the cluster map: decodes the state of every sector of the disk in the simplest way, one entry at a
 * time, from the text of the specification.
 */
import type { LayerRange } from '../../src/image/source.js';
import type { MappedImage } from '../../src/qcow2/cluster-map.js';

const SECTOR = 512;
const OFFSET = 0x00fffffffffffe00n;
const LARGEST = BigInt(Number.MAX_SAFE_INTEGER);

/** A file for the model: whole words at offsets, and the file's own map of a sector. */
interface ModelFile {
  /** A multiple of 512. */
  readonly size: number;
  readonly bytes: { readonly length: number; readBigUInt64BE(offset: number): bigint };
  sectorAt(offset: number): Sector;
}

/** The state of one sector of the disk. */
export type Sector =
  | { readonly kind: 'unallocated' | 'zero' | 'unreadable' }
  | { readonly kind: 'data'; readonly descriptor: number; readonly offset: number }
  | {
      readonly kind: 'compressed';
      readonly offset: number;
      readonly storedLength: number;
      readonly skip: number;
    };

/** A range cut into sectors. */
export function sectorsOf(range: LayerRange): Sector[] {
  return Array.from({ length: Math.ceil(range.length / SECTOR) }, (_, index): Sector => {
    const bytes = index * SECTOR;
    if (range.kind === 'data') {
      return { kind: 'data', descriptor: range.descriptor, offset: range.offset + bytes };
    }
    if (range.kind === 'compressed') {
      const { clusterSize, places } = range.payloads;
      const at = range.skip + bytes;
      const [offset = -1, storedLength = -1] = places.slice(2 * Math.floor(at / clusterSize));
      return { kind: 'compressed', offset, storedLength, skip: at % clusterSize };
    }
    return { kind: range.kind };
  });
}

/** @param data the external data file, if there is one */
export function expectedSectors(image: MappedImage, file: ModelFile, data: ModelFile | undefined): Sector[] {
  const sectors: Sector[] = [];
  for (let guest = 0; guest < image.virtualSize; guest += SECTOR) {
    sectors.push(sectorAt(image, file, data, guest));
  }
  return sectors;
}

/** The word at an offset; undefined past the end of the file. */
function wordAt(file: ModelFile, at: bigint): bigint | undefined {
  if (at + 8n > BigInt(file.size)) return undefined;
  return at + 8n > BigInt(file.bytes.length) ? 0n : file.bytes.readBigUInt64BE(Number(at));
}

/** @param guest bytes, a multiple of 512 */
export function sectorAt(
  image: MappedImage,
  file: ModelFile,
  data: ModelFile | undefined,
  guest: number,
): Sector {
  const clusterSize = 2 ** image.clusterBits;
  const entryBytes = image.extendedL2 ? 16 : 8;
  const l2Entries = clusterSize / entryBytes;
  const cluster = Math.floor(guest / clusterSize);
  const inCluster = guest % clusterSize;

  const l1Index = Math.floor(cluster / l2Entries);
  if (l1Index >= image.l1Entries) return { kind: 'unallocated' };
  const l1Entry = wordAt(file, BigInt(image.l1Offset + l1Index * 8));
  if (l1Entry === undefined) return { kind: 'unreadable' };
  const table = l1Entry & OFFSET;
  if (table === 0n) return { kind: 'unallocated' };
  if (table > LARGEST || table % BigInt(clusterSize) !== 0n) return { kind: 'unreadable' };

  const at = table + BigInt((cluster % l2Entries) * entryBytes);
  const entry = wordAt(file, at);
  const bitmap = image.extendedL2 ? wordAt(file, at + 8n) : 0n;
  if (entry === undefined || bitmap === undefined) return { kind: 'unreadable' };

  if (((entry >> 62n) & 1n) === 1n) {
    if (data !== undefined) return { kind: 'unreadable' };
    const offsetBits = BigInt(70 - image.clusterBits);
    const offset = entry & ((1n << offsetBits) - 1n);
    if (offset > LARGEST) return { kind: 'unreadable' };
    const sectors = Number((entry & ((1n << 62n) - 1n)) >> offsetBits) + 1;
    const storedLength = sectors * 512 - Number(offset % 512n);
    return { kind: 'compressed', offset: Number(offset), storedLength, skip: inCluster };
  }

  const host = entry & OFFSET;
  const hasCopiedBit = entry >> 63n === 1n;
  const hasHost = host !== 0n || (data !== undefined && hasCopiedBit && (image.extendedL2 || !(entry & 1n)));
  if (hasHost && host > LARGEST) return { kind: 'unreadable' };
  let kind: 'unallocated' | 'zero' | 'data';
  if (image.extendedL2) {
    const [alloc, zeros] = [bitmap & 0xffffffffn, bitmap >> 32n];
    if ((alloc & zeros) !== 0n && hasHost) return { kind: 'unreadable' };
    if (alloc !== 0n && !hasHost) return { kind: 'unreadable' };
    const bit = 1n << BigInt(Math.floor(inCluster / (clusterSize / 32)));
    kind = (zeros & bit) !== 0n ? 'zero' : (alloc & bit) !== 0n ? 'data' : 'unallocated';
  } else if ((entry & 1n) === 1n) {
    if (image.version === 2) return { kind: 'unreadable' };
    kind = 'zero';
  } else {
    kind = hasHost ? 'data' : 'unallocated';
  }
  if (hasHost) {
    if (host % BigInt(clusterSize) !== 0n) return { kind: 'unreadable' };
    if (data !== undefined && host !== BigInt(cluster * clusterSize)) return { kind: 'unreadable' };
  }
  if (kind !== 'data') return { kind };

  const where = data ?? file;
  const offset = Number(host) + inCluster;
  if (offset < where.size) return where.sectorAt(offset);
  return { kind: Number(host) < where.size ? 'zero' : 'unreadable' };
}
