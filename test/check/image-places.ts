/** The places of the parts of a valid image in its file: by a walk that shares no code with the program. */
import { COMPRESSED, HEADER, type ImageBytes, ZERO_FLAG } from './corrupt-image-bytes.js';

interface ImagePlace {
  readonly part: string;
  readonly offset: number;
  /** Bytes that must be in the file. */
  readonly length: number;
}

const OFFSET_BITS = 0x00ff_ffff_ffff_fe00n;
const EXTENDED_L2 = 16n;
const AUTOCLEAR_BITMAPS = 1n;

/** Every part except the header, in any order; shared parts come twice. */
export function placesOf(image: ImageBytes): ImagePlace[] {
  return [...statesOf(image), ...snapshotTable(image), ...refcounts(image), ...bitmaps(image)];
}

function statesOf(image: ImageBytes): ImagePlace[] {
  const places = l1Places(image, image.offsetIn(HEADER.l1Offset), image.u32(HEADER.l1Size));
  for (let index = 0; index < image.u32(HEADER.snapshotCount); index += 1) {
    const at = image.snapshotAt(index);
    places.push(...l1Places(image, Number(image.u64(at)), image.u32(at + 8)));
  }
  return places;
}

function l1Places(image: ImageBytes, offset: number, entries: number): ImagePlace[] {
  const places: ImagePlace[] = [{ part: 'L1 table', offset, length: entries * 8 }];
  for (let index = 0; index < entries; index += 1) {
    const table = image.offsetIn(offset + index * 8);
    if (table === 0) continue;
    places.push({ part: 'L2 table', offset: table, length: image.clusterSize });
    for (let slot = 0; slot < image.l2Entries; slot += 1) {
      const place = guestPlace(image, table + slot * image.l2EntryBytes, index * image.l2Entries + slot);
      if (place !== undefined) places.push(place);
    }
  }
  return places;
}

function guestPlace(image: ImageBytes, at: number, guestCluster: number): ImagePlace | undefined {
  const { clusterSize } = image;
  const raw = image.u64(at);
  if ((raw & COMPRESSED) !== 0n) {
    const offsetBits = BigInt(62 - (image.u32(20) - 8));
    const offset = Number(raw & ((1n << offsetBits) - 1n));
    const sectors = Number((raw & (COMPRESSED - 1n)) >> offsetBits);
    // The payload itself ends somewhere in its last sector.
    return { part: 'compressed cluster', offset, length: (sectors + 1) * 512 - (offset % 512) };
  }
  const offset = Number(raw & OFFSET_BITS);
  if (offset === 0) return undefined;
  const extended = (image.u64(HEADER.incompatible) & EXTENDED_L2) !== 0n;
  if (!extended && (raw & ZERO_FLAG) !== 0n) return undefined;
  const subclusters = extended
    ? image
        .u64(at + 8)
        .toString(2)
        .padStart(64, '0')
        .slice(32)
    : '1'.repeat(32);
  const used = (32 - subclusters.padStart(32, '0').indexOf('1')) * (clusterSize / 32);
  const ofDisk = Number(image.u64(HEADER.virtualSize)) - guestCluster * clusterSize;
  return { part: 'data cluster', offset, length: Math.min(used, ofDisk > 0 ? ofDisk : clusterSize) };
}

function snapshotTable(image: ImageBytes): ImagePlace[] {
  const count = image.u32(HEADER.snapshotCount);
  if (count === 0) return [];
  const offset = Number(image.u64(HEADER.snapshotsOffset));
  const last = image.snapshotAt(count - 1);
  const names = image.bytes.readUInt16BE(last + 12) + image.bytes.readUInt16BE(last + 14);
  return [{ part: 'snapshot table', offset, length: last + 40 + image.u32(last + 36) + names - offset }];
}

function refcounts(image: ImageBytes): ImagePlace[] {
  const length = image.u32(HEADER.refcountTableClusters) * image.clusterSize;
  const offset = image.offsetIn(HEADER.refcountTableOffset);
  const places: ImagePlace[] = [{ part: 'refcount table', offset, length }];
  for (let index = 0; index < length / 8; index += 1) {
    const block = image.refcountBlockOffset(index);
    if (block !== 0) places.push({ part: 'refcount block', offset: block, length: image.clusterSize });
  }
  return places;
}

function bitmaps(image: ImageBytes): ImagePlace[] {
  if (image.u32(4) === 2 || (image.u64(HEADER.autoclear) & AUTOCLEAR_BITMAPS) === 0n) return [];
  const extension = image.bitmapsExtensionAt;
  const directory = image.bitmapDirectory;
  const length = Number(image.u64(extension + 8));
  const places: ImagePlace[] = [{ part: 'bitmap directory', offset: directory, length }];
  for (let at = directory; at < directory + length; ) {
    const [table, entries] = [Number(image.u64(at)), image.u32(at + 8)];
    places.push({ part: 'bitmap table', offset: table, length: entries * 8 });
    for (let index = 0; index < entries; index += 1) {
      const offset = image.offsetIn(table + index * 8);
      if (offset !== 0) places.push({ part: 'bitmap cluster', offset, length: image.clusterSize });
    }
    at += Math.ceil((24 + image.bytes.readUInt16BE(at + 18)) / 8) * 8;
  }
  return places;
}
