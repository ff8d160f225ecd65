/** Repairs refcounts in place, in the image's refcount blocks. Specification: "Host cluster management". */
import { TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { setRefcount } from '../qcow2/refcount-block.js';
import { type AnalysisOptions, analyse } from './analysis.js';
import type { CheckedImage } from './checked-image.js';
import type { WrongRefcount } from './findings.js';
import { refcountTableSize } from './refcount-table.js';
import type { RepairFile } from './repair-file.js';

/** Finds the refcount block of a cluster; caches the last one. */
export class RefcountBlocks {
  readonly #image: CheckedImage;
  #index = -1;
  #offset: number | undefined;

  constructor(image: CheckedImage) {
    this.#image = image;
  }

  /** @returns offset of the block in the file, in bytes; undefined when no block can be written */
  async find(cluster: number): Promise<number | undefined> {
    const { file, header, geometry } = this.#image;
    const index = Math.floor(cluster / geometry.refcountBlockEntries);
    if (index >= refcountTableSize(this.#image)) return undefined;
    if (index !== this.#index) {
      const entry = new Uint8Array(TABLE_ENTRY_BYTES);
      await file.read(header.refcountTableOffset + index * TABLE_ENTRY_BYTES, entry);
      const offset = Number(new DataView(entry.buffer).getBigUint64(0));
      const isBlock = offset > 0 && offset % geometry.clusterSize === 0 && offset < file.size;
      this.#offset = isBlock ? offset : undefined;
      this.#index = index;
    }
    return this.#offset;
  }
}

/**
 * Raises refcounts that are lower than the references, or lowers those that are higher, and makes the changes
 * durable.
 * @param end the first cluster to be left unchanged
 * @param onRepaired called for each before it is changed
 * @throws Qcow2cError as `analyse`, or ERR_IO; some refcounts may be changed by then
 */
export async function repairRefcounts(
  file: RepairFile,
  image: CheckedImage,
  direction: 'raise' | 'lower',
  end: number,
  onRepaired: (finding: WrongRefcount) => void | Promise<void>,
  options: Pick<AnalysisOptions, 'signal' | 'windowClusters'>,
): Promise<void> {
  const blocks = new RefcountBlocks(image);
  const bits = image.geometry.refcountBits;
  await analyse(image, {
    ...options,
    onFinding: async (finding) => {
      if (finding.kind !== 'refcount') return;
      const { cluster, found, expected } = finding;
      if (cluster >= end || found < BigInt(expected) !== (direction === 'raise')) return;
      const block = await blocks.find(cluster);
      if (block === undefined) return;
      await onRepaired(finding);
      const index = cluster % image.geometry.refcountBlockEntries;
      const inByte = Math.max(1, 8 / bits);
      const at = block + Math.floor((index * bits) / 8);
      await file.change(at, Math.ceil(bits / 8), (bytes) => {
        setRefcount(bytes, index % inByte, bits, expected);
      });
    },
  });
  await file.sync();
}
