/**
 * The clusters that an incremental image stores: those with a byte that the bitmap lists as changed, and those past the
 * end of the backing file. The backing file has the others.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { quoted, usageError } from '../errors.js';
import type { ChangeMap, Source } from '../image/source.js';
import type { WalkedPart } from '../workers/item-walk.js';

type Disk = Pick<Source, 'name' | 'size'>;

export class ChangedClusters implements WalkedPart {
  readonly #openBitmap: () => ChangeMap;
  readonly #bitmap: ChangeMap;
  readonly #disk: Disk;
  readonly #backing: Disk;
  readonly #clusterSize: number;
  /** From here on every cluster has a byte past the end of the backing file. Guest bytes. */
  readonly #grownFrom: number;
  /** From here on no cluster has another byte. Guest bytes. */
  readonly #newFrom: number;
  /** The last range found, in guest bytes. */
  #last = { from: 0, to: 0, isInside: false };

  /**
   * @param openBitmap opens the bitmap for one walk
   * @param disk the disk that the bitmap belongs to
   * @param backing the disk of the target's backing file, at most as large
   * @param clusterSize of the target, in bytes
   */
  constructor(openBitmap: () => ChangeMap, disk: Disk, backing: Disk, clusterSize: number) {
    this.#openBitmap = openBitmap;
    this.#bitmap = openBitmap();
    this.#disk = disk;
    this.#backing = backing;
    this.#clusterSize = clusterSize;
    this.#grownFrom = backing.size < disk.size ? roundDown(backing.size, clusterSize) : disk.size;
    this.#newFrom = roundUp(backing.size, clusterSize);
  }

  /** The same clusters for another walk at the same time: a walk that jumps back reads the bitmap again. */
  forAnotherWalk(): ChangedClusters {
    return new ChangedClusters(this.#openBitmap, this.#disk, this.#backing, this.#clusterSize);
  }

  /** @throws Qcow2cError as `changesAt` */
  async at(offset: number): Promise<{ readonly length: number; readonly isInside: boolean }> {
    if (this.isNew(offset)) return { length: Number.MAX_SAFE_INTEGER, isInside: true };
    if (offset >= this.#grownFrom) return { length: this.#newFrom - offset, isInside: true };
    if (offset < this.#last.from || offset >= this.#last.to) {
      this.#last = await this.#from(roundDown(offset, this.#clusterSize));
    }
    return { length: this.#last.to - offset, isInside: this.#last.isInside };
  }

  /** Whether the backing file ends before the cluster of an offset, so that it shows zeros there. */
  isNew(offset: number): boolean {
    return offset >= this.#newFrom;
  }

  /** Bits need not match clusters: a cluster counts as changed if one of its bytes does. @param from of a cluster */
  async #from(from: number): Promise<{ from: number; to: number; isInside: boolean }> {
    for (let at = from; at < this.#grownFrom; ) {
      const { length, isChanged } = await this.#bitmap.changesAt(at);
      const end = Math.min(at + length, this.#grownFrom);
      if (isChanged) return { from, to: roundUp(end, this.#clusterSize), isInside: true };
      const wholeEnd = end === this.#grownFrom ? end : roundDown(end, this.#clusterSize);
      if (wholeEnd > from) return { from, to: wholeEnd, isInside: false };
      at = end;
    }
    return { from, to: this.#grownFrom, isInside: false };
  }
}

/**
 * A bitmap cannot say what a larger backing file shows past the end of the disk.
 * @throws Qcow2cError ERR_USAGE
 */
export function refuseLargerBacking(disk: Disk, backing: Disk): void {
  if (backing.size <= disk.size) return;
  throw usageError(
    `The backing file ${quoted(backing.name)} has ${backing.size} bytes, more than the ${disk.size} of ` +
      `${quoted(disk.name)}: it is not a backup of this disk, or the disk has shrunk; make a full backup`,
    { file: backing.name, expected: disk.size, found: backing.size },
  );
}
