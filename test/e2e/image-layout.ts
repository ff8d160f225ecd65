/** The places of the parts of an image of qcow2c, read from its bytes alone: for judging the order of writes. */
import { readFile } from 'node:fs/promises';

const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
const COMPRESSED = 1n << 62n;

/** Bytes of the file, `to` excluded. */
interface HostRange {
  readonly from: number;
  readonly to: number;
}

interface ImageLayout {
  readonly clusterSize: number;
  readonly header: HostRange;
  /** The tables that make data reachable from the header: the level 1 table and the refcount table. */
  readonly roots: readonly HostRange[];
  /** Host clusters with guest data. */
  readonly data: readonly HostRange[];
}

/** Reads the layout of a small image with standard L2 entries. Offsets follow the specification's header fields. */
export async function layoutOf(image: string): Promise<ImageLayout> {
  const bytes = await readFile(image);
  const table = (offset: number, entries: number) =>
    Array.from({ length: entries }, (_, index) =>
      offset + index * 8 + 8 <= bytes.length ? bytes.readBigUInt64BE(offset + index * 8) : 0n,
    );
  const clusterBits = bytes.readUInt32BE(20);
  const clusterSize = 2 ** clusterBits;
  const l1Size = bytes.readUInt32BE(36);
  const l1Offset = Number(bytes.readBigUInt64BE(40));
  const refcountTable = Number(bytes.readBigUInt64BE(48));
  const refcountTableClusters = bytes.readUInt32BE(56);

  const data = new Set<number>();
  for (const l1Entry of table(l1Offset, l1Size)) {
    const l2Offset = Number(l1Entry & OFFSET_BITS);
    for (const entry of l2Offset === 0 ? [] : table(l2Offset, clusterSize / 8)) {
      if ((entry & COMPRESSED) === 0n) data.add(Number(entry & OFFSET_BITS));
      else data.add(Number(entry & ((1n << BigInt(62 - (clusterBits - 8))) - 1n)));
    }
  }
  data.delete(0);
  const clusterAt = (offset: number): HostRange => {
    const from = Math.floor(offset / clusterSize) * clusterSize;
    return { from, to: from + clusterSize };
  };
  return {
    clusterSize,
    header: { from: 0, to: clusterSize },
    roots: [
      { from: l1Offset, to: l1Offset + l1Size * 8 },
      { from: refcountTable, to: refcountTable + refcountTableClusters * clusterSize },
    ],
    data: [...data].map(clusterAt),
  };
}

/** Whether two ranges share a byte. */
export function overlaps(a: HostRange, b: HostRange): boolean {
  return a.from < b.to && b.from < a.to;
}
