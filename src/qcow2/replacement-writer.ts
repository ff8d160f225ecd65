/**
 * Writes the new disk of an existing image into the file's free space, without refcounts and header: references are
 * counted after everything else is written.
 */
import { roundUp } from '../arithmetic.js';
import { type GuestCluster, type HostOffset, hostOffset } from './addresses.js';
import { readU64 } from './be64.js';
import { type BackingRules, ClusterWriter } from './cluster-writer.js';
import type { ImageParameters } from './create-options.js';
import { TABLE_ENTRY_BYTES } from './geometry.js';
import type { BitmapsExtension } from './header-extensions.js';
import { allocationUnit, ImageBody, type ImageTarget } from './image-body.js';
import { decodeL1Entry } from './l1-entry.js';
import { RecountedRefcounts } from './refcounts.js';

/** The tables of an image that is replaced. The new image keeps the part after the new content. */
interface ReplacedTables {
  /** The L1 table. */
  readonly l1: Uint8Array;
  /** Reads an L2 table. @param offset in the file, in bytes */
  readL2(offset: HostOffset): Promise<Uint8Array>;
}

/** A written image without refcounts: the tables for its new header, and the space for its new refcounts. */
export interface UncountedImage {
  readonly l1Offset: HostOffset;
  readonly bitmaps: BitmapsExtension | undefined;
  /** @returns indexes of the refcount blocks that count the clusters allocated so far */
  blocksInUse(): Iterable<number>;
  /** Allocates contiguous clusters. @returns the offset of the first */
  allocate(clusters: number): HostOffset;
}

export class ReplacementWriter {
  readonly body: ImageBody;
  readonly clusters: ClusterWriter;
  /** Place of the L1 table, and its length in bytes. */
  readonly #l1: { readonly offset: HostOffset; readonly bytes: number };

  /**
   * @param virtualSize bytes of the image's disk
   * @param l1Entries entries of the image's L1 table
   */
  constructor(
    parameters: ImageParameters,
    virtualSize: number | undefined,
    file: ImageTarget,
    l1Entries: number,
    backing: BackingRules,
  ) {
    const { geometry } = parameters;
    this.body = new ImageBody(geometry, virtualSize, new RecountedRefcounts(geometry), file);
    const bytes = l1Entries * TABLE_ENTRY_BYTES;
    this.#l1 = { offset: this.#allocateTable(Math.ceil(bytes / geometry.clusterSize)), bytes };
    this.clusters = new ClusterWriter(this.body, parameters, backing);
  }

  /**
   * Keeps the rest of the image, from a guest cluster on. Its L2 tables stay in place. If one of them also maps
   * clusters before `first`, its other entries are copied to a new table.
   * @param virtualSize bytes of the image's disk
   */
  async keepRest(first: GuestCluster, { l1, readL2 }: ReplacedTables, virtualSize: number): Promise<void> {
    const { geometry, l2, run } = this.body;
    const { l2Entries, l2EntryBytes, clusterSize } = geometry;
    const inTable = first % l2Entries;
    const index = Math.floor(first / l2Entries);
    const at = index * TABLE_ENTRY_BYTES;
    if (l2.passes(first)) await l2.complete();
    const end = Math.min((index + 1) * l2Entries, Math.ceil(virtualSize / clusterSize));
    if (inTable > 0 && at < l1.length && first < end) {
      const { l2TableOffset } = decodeL1Entry(readU64(l1, at));
      const table = l2TableOffset === undefined ? undefined : await readL2(l2TableOffset);
      const rest = table?.subarray(inTable * l2EntryBytes, (end - index * l2Entries) * l2EntryBytes);
      if (rest?.some((byte) => byte !== 0)) {
        const setEntry = l2.entriesOf(first, end - first);
        for (let entry = 0; entry < end - first; entry += 1) {
          const raw = readU64(rest, entry * l2EntryBytes);
          const second = l2EntryBytes > TABLE_ENTRY_BYTES ? readU64(rest, entry * l2EntryBytes + 8) : 0n;
          setEntry(raw, second, entry);
        }
      }
    }
    await l2.complete();
    await run.place();
    const next = inTable > 0 ? index + 1 : index;
    l2.keepL1(next, l1.subarray(next * TABLE_ENTRY_BYTES));
  }

  /** Writes the remaining data, L2 tables and the L1 table. */
  async finish(): Promise<UncountedImage> {
    const { areas, bitmaps, l2, refcounts, stream } = this.body;
    const { offset, bytes } = this.#l1;
    await this.body.finishClusters();
    await areas.finish();
    const l1Table = l2.takeL1(bytes / TABLE_ENTRY_BYTES);
    await stream.write(offset, [l1Table]);
    return {
      l1Offset: bytes === 0 ? hostOffset(0) : offset,
      bitmaps,
      blocksInUse: () => refcounts.placedBlocks(),
      allocate: (clusters) => this.#allocateTable(clusters),
    };
  }

  /** Allocates contiguous clusters for a table. */
  #allocateTable(clusters: number): HostOffset {
    const { allocator, geometry, guard } = this.body;
    const offset = allocator.allocateRun(clusters);
    guard.reserve(offset, roundUp(clusters * geometry.clusterSize, allocationUnit(geometry.clusterSize)));
    return offset;
  }
}
