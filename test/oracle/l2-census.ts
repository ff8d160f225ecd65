/**
 * Counts the kinds of clusters in the L2 tables of an image, from its bytes alone, so that a test that reads every kind
 * can verify that every kind was present.
 */
import { readFile } from 'node:fs/promises';

const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;
const EXTENDED_L2 = 1n << 4n;
const DATA_FILE = 1n << 2n;

/** How many clusters (or, of `subclusters`, clusters whose subclusters differ) an image has of each kind. */
interface L2Census {
  unallocated: number;
  normal: number;
  compressed: number;
  /** Compressed clusters whose payload continues in the next host cluster. */
  'crossing-host-clusters': number;
  zero: number;
  'zero-allocated': number;
  subclusters: number;
}

/** @param image an image of moderate size: it is read as a whole */
export async function l2Census(image: string): Promise<L2Census> {
  const bytes = await readFile(image);
  // Bytes past the end read as zeros, as in QEMU.
  const word = (offset: number) => (offset + 8 <= bytes.length ? bytes.readBigUInt64BE(offset) : 0n);
  const clusterBits = bytes.readUInt32BE(20);
  const clusterSize = 2 ** clusterBits;
  const features = bytes.readUInt32BE(4) === 2 ? 0n : word(72);
  const entryBytes = (features & EXTENDED_L2) === 0n ? 8 : 16;
  const offsetBits = BigInt(62 - (clusterBits - 8));
  const census: L2Census = {
    unallocated: 0,
    normal: 0,
    compressed: 0,
    'crossing-host-clusters': 0,
    zero: 0,
    'zero-allocated': 0,
    subclusters: 0,
  };

  const payload = (entry: bigint) => {
    const offset = Number(entry & ((1n << offsetBits) - 1n));
    const sectors = 1 + Number((entry & (COMPRESSED - 1n)) >> offsetBits);
    const end = Math.floor(offset / 512) * 512 + sectors * 512;
    census.compressed += 1;
    if (Math.floor(offset / clusterSize) < Math.floor((end - 1) / clusterSize)) {
      census['crossing-host-clusters'] += 1;
    }
  };
  const standard = (entry: bigint) => {
    const zero = (entry & 1n) === 1n;
    // With a data file the offset of the first cluster is 0; bit 63 tells whether it is allocated.
    const allocated = (entry & OFFSET_BITS) !== 0n || ((features & DATA_FILE) !== 0n && entry >> 63n === 1n);
    if (zero) census[allocated ? 'zero-allocated' : 'zero'] += 1;
    else census[allocated ? 'normal' : 'unallocated'] += 1;
  };
  const extended = (bitmap: bigint) => {
    const [allocated, zero] = [bitmap & 0xffff_ffffn, bitmap >> 32n];
    if (bitmap === 0n) census.unallocated += 1;
    else if (allocated === 0xffff_ffffn) census.normal += 1;
    else if (zero === 0xffff_ffffn) census.zero += 1;
    else census.subclusters += 1;
  };

  const l1Offset = Number(word(40));
  for (let index = 0; index < bytes.readUInt32BE(36); index += 1) {
    const table = Number(word(l1Offset + index * 8) & OFFSET_BITS);
    if (table === 0) continue;
    for (let at = table; at < table + clusterSize; at += entryBytes) {
      const entry = word(at);
      if ((entry & COMPRESSED) !== 0n) payload(entry);
      else if (entryBytes === 16) extended(word(at + 8));
      else standard(entry);
    }
  }
  return census;
}
