/** Turns the bits of a bitmap into ranges of the disk. Specification: "Bitmap data". */
import { roundDown } from '../arithmetic.js';
import type { ChangeMap } from '../image/source.js';
import { SECTOR_SIZE } from '../sector.js';
import type { Storage } from '../storage/storage.js';
import type { Bitmap } from './bitmap-directory.js';
import { type BitmapCluster, readBitmap } from './bitmap-reader.js';
import type { Header } from './header.js';

/** Bytes of the bitmap that are held at once. */
const PIECE_BYTES = 65_536;

export class BitmapChanges implements ChangeMap {
  readonly #read: () => AsyncGenerator<BitmapCluster>;
  readonly #granularity: number;
  #pieces: AsyncGenerator<BitmapCluster>;
  #piece: BitmapCluster = { kind: 'zeros' };
  /** The part of the disk that `#piece` describes, in bytes. */
  #from = 0;
  #to = 0;

  /**
   * @param image the header of the image in `file`
   * @param bitmap from the directory of that image, not in use
   */
  constructor(
    file: Pick<Storage, 'name' | 'read'>,
    image: Pick<Header, 'clusterBits' | 'virtualSize'>,
    bitmap: Bitmap,
  ) {
    const virtualSize = roundDown(image.virtualSize, SECTOR_SIZE);
    this.#read = () => readBitmap(file, image, bitmap, { clusterSize: PIECE_BYTES, virtualSize });
    this.#granularity = 2 ** bitmap.granularityBits;
    this.#pieces = this.#read();
  }

  async changesAt(offset: number) {
    if (offset < this.#from) {
      this.#pieces = this.#read();
      this.#from = 0;
      this.#to = 0;
    }
    while (offset >= this.#to) {
      const { value, done } = await this.#pieces.next();
      // The bits end with the disk, whose last granule may be partial.
      this.#piece = done ? { kind: 'zeros' } : value;
      this.#from = this.#to;
      this.#to = done ? Number.MAX_SAFE_INTEGER : this.#from + PIECE_BYTES * 8 * this.#granularity;
    }
    if (this.#piece.kind !== 'data') {
      return { length: this.#to - offset, isChanged: this.#piece.kind === 'ones' };
    }
    const { bytes } = this.#piece;
    const bit = Math.floor((offset - this.#from) / this.#granularity);
    const end = this.#from + runEnd(bytes, bit) * this.#granularity;
    return { length: end - offset, isChanged: isSet(bytes, bit) };
  }
}

/** @returns the end of the run of equal bits that begins at `bit`. Bit 0 is the lowest of the first byte */
function runEnd(bytes: Uint8Array, bit: number): number {
  const value = isSet(bytes, bit);
  const filled = value ? 0xff : 0;
  let end = bit + 1;
  while (end < bytes.length * 8) {
    if (end % 8 === 0 && bytes[end / 8] === filled) end += 8;
    else if (isSet(bytes, end) === value) end += 1;
    else break;
  }
  return end;
}

function isSet(bytes: Uint8Array, bit: number): boolean {
  return Math.floor((bytes[Math.floor(bit / 8)] ?? 0) / 2 ** (bit % 8)) % 2 === 1;
}
