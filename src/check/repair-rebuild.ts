/**
 * Writes a new refcount table and new refcount blocks after the end of the file, for an image whose own cannot be
 * trusted. Nothing changes until the header names them. (rebuild_refcount_structure in QEMU uses free clusters of
 * the image, which may be in use.)
 */
import { Qcow2cError, quoted } from '../errors.js';
import { hostOffset } from '../qcow2/addresses.js';
import { writeU64 } from '../qcow2/be64.js';
import { MAX_REFCOUNT_TABLE_BYTES, TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { setRefcount } from '../qcow2/refcount-block.js';
import { type AnalysisOptions, analyse } from './analysis.js';
import type { CheckedImage } from './checked-image.js';
import type { RepairFile } from './repair-file.js';
import type { TablePointers } from './repair-header.js';

type NewRefcounts = Pick<TablePointers, 'refcountTableOffset' | 'refcountTableClusters'>;

/**
 * Writes the refcounts and makes them durable. The image's present refcount table and blocks are not counted.
 * @param end the first cluster after all references
 * @returns the place of the table
 * @throws Qcow2cError as `analyse`; ERR_LIMIT when the table would be larger than QEMU accepts; ERR_IO
 */
export async function writeNewRefcounts(
  file: RepairFile,
  image: CheckedImage,
  end: number,
  options: Pick<AnalysisOptions, 'signal' | 'windowClusters'>,
): Promise<NewRefcounts> {
  const { clusterSize, refcountBits, refcountBlockEntries } = image.geometry;
  const table = new RefcountTable(clusterSize, file.name);
  const block = new Uint8Array(clusterSize);
  const lastIndex = Math.floor(end / refcountBlockEntries);
  // Fails on a table that is too large before anything is written.
  table.set(lastIndex, 0);
  let current = -1;
  let next = end;
  const finishBlock = async () => {
    table.set(current, next * clusterSize);
    await file.append(next * clusterSize, block);
    block.fill(0);
    next += 1;
  };

  // In an image without refcounts every reference is one too many, and findings come in ascending order.
  const withoutRefcounts = { ...image, header: { ...image.header, refcountTableClusters: 0 } };
  await analyse(withoutRefcounts, {
    ...options,
    onFinding: async (finding) => {
      if (finding.kind !== 'refcount') return;
      const index = Math.floor(finding.cluster / refcountBlockEntries);
      if (current !== -1 && index !== current) await finishBlock();
      current = index;
      setRefcount(block, finding.cluster % refcountBlockEntries, refcountBits, finding.expected);
    },
  });
  if (current !== -1 && current < lastIndex) await finishBlock();

  // The rest includes the new blocks and the table, which have one reference each.
  let last = lastIndex;
  let tableClusters = 0;
  for (;;) {
    tableClusters = Math.ceil(((last + 1) * TABLE_ENTRY_BYTES) / clusterSize);
    const newEnd = next + (last - lastIndex + 1) + tableClusters;
    const needed = Math.floor((newEnd - 1) / refcountBlockEntries);
    if (needed === last) break;
    last = needed;
  }
  const newEnd = next + (last - lastIndex + 1) + tableClusters;
  for (let index = lastIndex; index <= last; index += 1) {
    current = index;
    const first = index * refcountBlockEntries;
    const to = Math.min(first + refcountBlockEntries, newEnd);
    for (let cluster = Math.max(first, end); cluster < to; cluster += 1) {
      setRefcount(block, cluster - first, refcountBits, 1);
    }
    await finishBlock();
  }
  const refcountTableOffset = hostOffset(next * clusterSize);
  await file.append(refcountTableOffset, table.bytes(tableClusters));
  await file.sync();
  return { refcountTableOffset, refcountTableClusters: tableClusters };
}

/** The entries of a refcount table in memory: at most 8 MiB, QEMU's limit. */
class RefcountTable {
  readonly #clusterSize: number;
  readonly #file: string;
  #bytes: Uint8Array;

  constructor(clusterSize: number, file: string) {
    this.#clusterSize = clusterSize;
    this.#file = file;
    this.#bytes = new Uint8Array(clusterSize);
  }

  /** @param offset of the block, in bytes */
  set(index: number, offset: number): void {
    const at = index * TABLE_ENTRY_BYTES;
    if (at >= MAX_REFCOUNT_TABLE_BYTES) {
      const expected = `at most ${MAX_REFCOUNT_TABLE_BYTES} bytes`;
      const message = `The refcount table of ${quoted(this.#file)} would become too large, expected ${expected}`;
      throw new Qcow2cError('ERR_LIMIT', message, { file: this.#file, expected });
    }
    if (at >= this.#bytes.length) {
      const larger = new Uint8Array(Math.max(2 * this.#bytes.length, at + this.#clusterSize));
      larger.set(this.#bytes);
      this.#bytes = larger;
    }
    writeU64(this.#bytes, at, BigInt(offset));
  }

  bytes(clusters: number): Uint8Array {
    const bytes = new Uint8Array(clusters * this.#clusterSize);
    bytes.set(this.#bytes.subarray(0, bytes.length));
    return bytes;
  }
}
