/**
 * A small image in memory whose fields can be found and overwritten, for making corrupted images.
 * It decodes the format independently, from the specification, so that it shares no mistake with the program.
 */

const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
export const COPIED = 1n << 63n;
export const COMPRESSED = 1n << 62n;
/** Bit 0 of an L2 entry: the guest cluster reads as zeros. */
export const ZERO_FLAG = 1n;
/** Offsets of the header fields that are changed. */
export const HEADER = {
  virtualSize: 24,
  l1Size: 36,
  l1Offset: 40,
  refcountTableOffset: 48,
  refcountTableClusters: 56,
  snapshotCount: 60,
  snapshotsOffset: 64,
  incompatible: 72,
  compatible: 80,
  autoclear: 88,
} as const;
const BITMAPS_EXTENSION = 0x23852875;

export class ImageBytes {
  bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  u32 = (at: number) => this.bytes.readUInt32BE(at);
  u64 = (at: number) => this.bytes.readBigUInt64BE(at);
  setU32 = (at: number, value: number) => this.bytes.writeUInt32BE(value, at);
  setU64 = (at: number, value: bigint) => this.bytes.writeBigUInt64BE(value, at);
  setU16 = (at: number, value: number) => this.bytes.writeUInt16BE(value, at);
  /** Replaces a 64-bit field by the result of `change`. */
  edit = (at: number, change: (value: bigint) => bigint) => this.setU64(at, change(this.u64(at)));

  get clusterSize(): number {
    return 2 ** this.u32(20);
  }

  get refcountBits(): number {
    return this.u32(4) === 2 ? 16 : 2 ** this.u32(96);
  }

  get l2EntryBytes(): number {
    const extended = this.u32(4) === 3 && (this.u64(HEADER.incompatible) & 16n) !== 0n;
    return extended ? 16 : 8;
  }

  /** Guest clusters that one L2 table describes. */
  get l2Entries(): number {
    return this.clusterSize / this.l2EntryBytes;
  }

  /** Host clusters of the file, including a partial one. */
  get clusters(): number {
    return Math.ceil(this.bytes.length / this.clusterSize);
  }

  offsetIn = (at: number) => Number(this.u64(at) & OFFSET_BITS);

  l1EntryAt = (index: number) => this.offsetIn(HEADER.l1Offset) + index * 8;

  l2TableOffset = (l1Index: number) => this.offsetIn(this.l1EntryAt(l1Index));

  l2EntryAt(guestCluster: number): number {
    const table = this.l2TableOffset(Math.floor(guestCluster / this.l2Entries));
    return table + (guestCluster % this.l2Entries) * this.l2EntryBytes;
  }

  /** The host cluster of the guest cluster, or the one where its payload begins. */
  hostClusterOf(guestCluster: number): number {
    const entry = this.u64(this.l2EntryAt(guestCluster));
    const offsetBits = BigInt(62 - (this.u32(20) - 8));
    const mask = (entry & COMPRESSED) === 0n ? OFFSET_BITS : (1n << offsetBits) - 1n;
    return Math.floor(Number(entry & mask) / this.clusterSize);
  }

  refcountTableEntryAt = (index: number) => this.offsetIn(HEADER.refcountTableOffset) + index * 8;

  refcountBlockOffset = (index: number) => this.offsetIn(this.refcountTableEntryAt(index));

  get refcountsPerBlock(): number {
    return (this.clusterSize * 8) / this.refcountBits;
  }

  refcount(cluster: number): number {
    const { at, shift, bits } = this.#refcountPlace(cluster);
    if (bits === 64) return Number(this.u64(at));
    if (bits >= 8) return this.bytes.readUIntBE(at, bits / 8);
    return (this.bytes[at]! >> shift) & (2 ** bits - 1);
  }

  setRefcount(cluster: number, value: number): void {
    const { at, shift, bits } = this.#refcountPlace(cluster);
    if (bits === 64) this.setU64(at, BigInt(value));
    else if (bits >= 8) this.bytes.writeUIntBE(value, at, bits / 8);
    else {
      const mask = (2 ** bits - 1) << shift;
      this.bytes[at] = (this.bytes[at]! & ~mask) | (value << shift);
    }
  }

  #refcountPlace(cluster: number) {
    const bits = this.refcountBits;
    const block = this.refcountBlockOffset(Math.floor(cluster / this.refcountsPerBlock));
    const bit = (cluster % this.refcountsPerBlock) * bits;
    return { at: block + Math.floor(bit / 8), shift: bit % 8, bits };
  }

  /** Adds whole clusters of `fill` at the end of the file. @returns the offset of the first */
  append(count = 1, fill = 0): number {
    const offset = this.clusters * this.clusterSize;
    this.resize(offset);
    this.bytes = Buffer.concat([this.bytes, Buffer.alloc(count * this.clusterSize, fill)]);
    return offset;
  }

  resize(length: number): void {
    const bytes = Buffer.alloc(length);
    this.bytes.copy(bytes);
    this.bytes = bytes;
  }

  /** Offset of the entry of a snapshot. */
  snapshotAt(index: number): number {
    let at = Number(this.u64(HEADER.snapshotsOffset));
    for (let passed = 0; passed < index; passed += 1) {
      const names = this.bytes.readUInt16BE(at + 12) + this.bytes.readUInt16BE(at + 14);
      at = Math.ceil((at + 40 + this.u32(at + 36) + names) / 8) * 8;
    }
    return at;
  }

  /** Offset of the bitmaps extension's data: count, reserved, directory size, directory offset. */
  get bitmapsExtensionAt(): number {
    for (let at = this.u32(100); ; at += 8 + Math.ceil(this.u32(at + 4) / 8) * 8) {
      if (this.u32(at) === BITMAPS_EXTENSION) return at + 8;
      if (this.u32(at) === 0) throw new Error('the image has no bitmaps extension');
    }
  }

  get bitmapDirectory(): number {
    return Number(this.u64(this.bitmapsExtensionAt + 16));
  }

  /** Offset of the first bitmap's table. */
  get bitmapTable(): number {
    return Number(this.u64(this.bitmapDirectory));
  }
}
