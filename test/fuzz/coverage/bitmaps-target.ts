/** The bitmap directory, the tables of bitmaps, and their bits as they come into another image. */
import type { ErrorCode } from '../../../src/errors.js';
import { readQcow2ImageHeader } from '../../../src/image/image-header.js';
import { type Bitmap, readBitmapDirectory } from '../../../src/qcow2/bitmap-directory.js';
import { readBitmap } from '../../../src/qcow2/bitmap-reader.js';
import type { Header } from '../../../src/qcow2/header.js';
import { decodeShownName } from '../../../src/qcow2/stored-name.js';
import { MemoryImage } from './memory-image.js';
import { attempt, promise, promiseSame } from './promises.js';

const REFUSED: readonly ErrorCode[] = ['ERR_FORMAT', 'ERR_CORRUPT', 'ERR_UNSUPPORTED'];
const SECTOR = 512;
const WINDOW_BYTES = 65536;
/** Of the bits of one bitmap; more take longer, and are no different. */
const MOST_BYTES = 2 ** 17;
const MOST_BITMAPS = 4;
/** Bits of each bitmap that are looked at one by one, besides the first and the last. */
const LOOKED_AT = 64;

export async function fuzz(input: Uint8Array): Promise<void> {
  const file = MemoryImage.folded(input);
  const { value: start } = await attempt(REFUSED, () => readQcow2ImageHeader(file.source, 'description'));
  const extension = start?.extensions.bitmaps;
  if (start === undefined || extension === undefined) return;
  const { header } = start;
  const windows = Math.ceil(file.length / WINDOW_BYTES) + 2;
  file.allow(windows, windows * WINDOW_BYTES);
  const content = await attempt(REFUSED, () => readBitmapDirectory(file, header, extension));
  file.allow(windows, windows * WINDOW_BYTES);
  const shown = await attempt(REFUSED, () => readBitmapDirectory(file, header, extension, decodeShownName));
  if (content.value !== undefined) promiseSame(shown.value, content.value, 'the same bitmaps to be shown');
  if (content.value === undefined) {
    if (shown.value !== undefined)
      promiseSame(content.error.code, 'ERR_UNSUPPORTED', 'only a name can be shown and not read');
    return;
  }
  const bitmaps = content.value;
  promiseSame(bitmaps.length, extension.count, 'as many bitmaps as the extension says');
  promiseSame(new Set(bitmaps.map(({ name }) => name)).size, bitmaps.length, 'each name comes once');
  for (const bitmap of bitmaps.slice(0, MOST_BITMAPS)) await promiseBitmap(file, header, bitmap);
}

async function promiseBitmap(file: MemoryImage, header: Header, bitmap: Bitmap): Promise<void> {
  const clusterSize = 2 ** header.clusterBits;
  const { granularityBits, tableEntries, tableOffset } = bitmap;
  promise(granularityBits >= 9 && granularityBits <= 31, 'a granularity is one', granularityBits);
  promise(tableEntries >= 1 && tableEntries * clusterSize <= 2 ** 29, 'the bits are bounded', tableEntries);
  promise(tableOffset > 0 && tableOffset % clusterSize === 0, 'a table is aligned', tableOffset);
  if (bitmap.inUse) return;
  const diskSize = header.virtualSize - (header.virtualSize % SECTOR);
  const bits = Math.ceil(diskSize / 2 ** granularityBits);
  for (const virtualSize of new Set([
    diskSize,
    2 * diskSize + SECTOR,
    Math.floor(diskSize / 1024) * SECTOR,
  ])) {
    for (const target of new Set([clusterSize, 512, 4096])) {
      const bytes = Math.ceil(virtualSize / 2 ** granularityBits / 8);
      if (bytes > MOST_BYTES || tableEntries * clusterSize > MOST_BYTES) continue;
      // One piece of the table at a time, and each cluster of bits once for each part of it that is asked for.
      const reads = tableEntries + Math.ceil(bytes / target) + 2;
      file.allow(reads + tableEntries, reads * target + (tableEntries + 1) * clusterSize + WINDOW_BYTES);
      const copied = await attempt(['ERR_CORRUPT', 'ERR_LIMIT'], () =>
        copyOf(file, header, bitmap, { clusterSize: target, virtualSize }),
      );
      if (copied.value === undefined) continue;
      promiseBits(
        file,
        clusterSize,
        bitmap,
        copied.value,
        bits,
        Math.ceil(virtualSize / 2 ** granularityBits),
      );
    }
  }
}

/** All clusters of bits, in order. */
async function copyOf(
  file: MemoryImage,
  header: Header,
  bitmap: Bitmap,
  target: { clusterSize: number; virtualSize: number },
): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const cluster of readBitmap(file, header, bitmap, target)) {
    if (cluster.kind === 'data') {
      promiseSame(cluster.bytes.length, target.clusterSize, 'a cluster of bits is one');
      parts.push(Buffer.from(cluster.bytes));
    } else {
      parts.push(Buffer.alloc(target.clusterSize, cluster.kind === 'ones' ? 0xff : 0));
    }
  }
  return Buffer.concat(parts);
}

/** @param bits of the image's disk @param targetBits of the target's */
function promiseBits(
  file: MemoryImage,
  clusterSize: number,
  { tableOffset }: Bitmap,
  copy: Buffer,
  bits: number,
  targetBits: number,
): void {
  promise(copy.length * 8 >= targetBits, 'there is a bit for each granule', copy.length, targetBits);
  const step = Math.max(1, Math.floor((copy.length * 8) / LOOKED_AT));
  const places = Array.from({ length: LOOKED_AT }, (_, index) => index * step + (index % step));
  for (const bit of [...places, bits - 1, bits, targetBits - 1, targetBits]) {
    if (bit < 0 || bit >= copy.length * 8) continue;
    const found = ((copy[Math.floor(bit / 8)] ?? 0) >> (bit % 8)) & 1;
    const expected = bit < Math.min(bits, targetBits) ? storedBit(file, clusterSize, tableOffset, bit) : 0;
    promiseSame(found, expected, `bit ${bit} of ${bits}`);
  }
}

/** From the words of the specification. */
function storedBit(file: MemoryImage, clusterSize: number, tableOffset: number, bit: number): number {
  const cluster = Math.floor(bit / (8 * clusterSize));
  const entry = file.readBigUInt64BE(tableOffset + cluster * 8);
  if (entry === 0n || entry === 1n) return Number(entry);
  const byte = Buffer.alloc(1);
  file.copy(Number(entry) + (Math.floor(bit / 8) % clusterSize), byte);
  return ((byte[0] ?? 0) >> (bit % 8)) & 1;
}
