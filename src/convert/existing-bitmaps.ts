/**
 * The persistent dirty bitmaps of an image that is written in place. As in QEMU, bitmaps that record changes get every
 * bit of the written range set; the others are unchanged.
 */
import { type Bitmap, readBitmapDirectory } from '../qcow2/bitmap-directory.js';
import { type BitmapCluster, readBitmap } from '../qcow2/bitmap-reader.js';
import { bitmapBits, bitmapTableEntries } from '../qcow2/bitmap-table.js';
import type { BitmapContent } from '../qcow2/bitmap-writer.js';
import type { ExistingImage } from './existing-image.js';

/** @throws Qcow2cError ERR_CORRUPT, ERR_UNSUPPORTED, ERR_IO */
export async function bitmapsOf({ image }: ExistingImage): Promise<readonly Bitmap[]> {
  const { bitmaps } = image.extensions;
  return bitmaps === undefined ? [] : readBitmapDirectory(image.file, image.header, bitmaps);
}

/**
 * The contents of the bitmaps after the conversion.
 * @param end bytes of the disk that are written, from its start
 * @returns contents that throw as `readBitmap` does
 */
export function existingBitmaps(
  { image, virtualSize }: ExistingImage,
  bitmaps: readonly Bitmap[],
  end: number,
): BitmapContent[] {
  const { clusterSize } = image.geometry;
  return bitmaps.map((bitmap) => {
    const { granularityBits, auto, inUse } = bitmap;
    if (inUse) {
      return { bitmap, clusters: zeros(bitmapTableEntries(virtualSize, granularityBits, clusterSize)) };
    }
    const clusters = readBitmap(image.file, image.header, bitmap, { clusterSize, virtualSize });
    const bits = { set: bitmapBits(end, granularityBits), all: bitmapBits(virtualSize, granularityBits) };
    return { bitmap, clusters: auto && end > 0 ? withBitsSet(clusters, bits, clusterSize) : clusters };
  });
}

/** The content of an inconsistent bitmap, whose bits have no meaning. */
async function* zeros(clusters: number): AsyncGenerator<BitmapCluster> {
  for (let index = 0; index < clusters; index += 1) yield { kind: 'zeros' };
}

/** @param bits the number of bits to set from the first one, and of all bits */
async function* withBitsSet(
  clusters: AsyncIterable<BitmapCluster>,
  bits: { readonly set: number; readonly all: number },
  clusterSize: number,
): AsyncGenerator<BitmapCluster> {
  const clusterBits = clusterSize * 8;
  const bytes = new Uint8Array(clusterSize);
  let first = 0;
  for await (const cluster of clusters) {
    const set = Math.min(bits.set - first, clusterBits);
    if (set <= 0 || cluster.kind === 'ones') {
      yield cluster;
    } else if (set === clusterBits) {
      yield { kind: 'ones' };
    } else {
      if (cluster.kind === 'data') bytes.set(cluster.bytes);
      else bytes.fill(0);
      const whole = Math.floor(set / 8);
      bytes.fill(0xff, 0, whole);
      if (set % 8 > 0) bytes[whole] = (bytes[whole] ?? 0) | (2 ** (set % 8) - 1);
      yield { kind: 'data', bytes };
    }
    first += clusterBits;
  }
}
