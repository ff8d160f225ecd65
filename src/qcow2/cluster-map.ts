/**
 * Finds guest clusters in an image: L1 entry, L2 entry, host cluster. Every offset found on the way is checked
 * before it is used, and what a broken entry covers is unreadable, no more. Specification: "Cluster mapping";
 * the checks are those of QEMU (qcow2_get_host_offset in block/qcow2-cluster.c).
 */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, quoted } from '../errors.js';
import type { HostFile, LayerRange } from '../image/source.js';
import { hostOffset } from './addresses.js';
import { TABLE_ENTRY_BYTES } from './geometry.js';
import { decodeL1Entry } from './l1-entry.js';
import { decodeL2Entry, type L2Entry } from './l2-entry.js';
import { SUBCLUSTERS, type SubclusterKind, subclusterKind } from './subclusters.js';
import { TableCache } from './table-cache.js';

/** Bit 63 of a standard cluster: in an external data file it tells offset 0 from unallocated. */
const COPIED = 1n << 63n;
/** Bit 62: a compressed cluster, whose bit 0 is one of its offset. */
const COMPRESSED = 1n << 62n;

/** What the map needs to know of the image. Sizes and offsets in bytes. */
export interface MappedImage {
  readonly version: 2 | 3;
  readonly clusterBits: number;
  readonly virtualSize: number;
  /** Of the active L1 table, or a snapshot's. */
  readonly l1Offset: number;
  readonly l1Entries: number;
  readonly extendedL2: boolean;
  readonly compressionType: CompressionType;
}

/** One unit of an L2 table: a cluster or a subcluster. */
type Unit =
  | { readonly kind: 'unallocated' | 'zero' }
  | { readonly kind: 'normal'; readonly host: number }
  | { readonly kind: 'compressed'; readonly entry: L2Entry & { readonly kind: 'compressed' } }
  | { readonly kind: 'broken'; readonly reason: string };

const UNALLOCATED: Unit = { kind: 'unallocated' };
const ZERO: Unit = { kind: 'zero' };

export class ClusterMap {
  readonly #image: MappedImage;
  readonly #file: HostFile;
  readonly #data: HostFile;
  readonly #tables: TableCache;
  readonly #clusterSize: number;
  readonly #entryBytes: number;
  readonly #l2Entries: number;
  /** Bytes of a unit. */
  readonly #unitSize: number;

  /**
   * @param file the image itself
   * @param dataFile the external data file; undefined: the image holds its clusters
   */
  constructor(image: MappedImage, file: HostFile, dataFile: HostFile | undefined) {
    this.#image = image;
    this.#file = file;
    this.#data = dataFile ?? file;
    this.#tables = new TableCache(file);
    this.#clusterSize = 2 ** image.clusterBits;
    this.#entryBytes = image.extendedL2 ? 2 * TABLE_ENTRY_BYTES : TABLE_ENTRY_BYTES;
    this.#l2Entries = this.#clusterSize / this.#entryBytes;
    this.#unitSize = image.extendedL2 ? this.#clusterSize / SUBCLUSTERS : this.#clusterSize;
  }

  /**
   * @param guest bytes, below the virtual size
   * @returns what lies there, at most up to where another table, cluster or piece of a table begins
   * @throws Qcow2cError ERR_IO
   */
  async map(guest: number): Promise<LayerRange> {
    const { virtualSize, l1Offset, l1Entries } = this.#image;
    const reach = this.#clusterSize * this.#l2Entries;
    const untilEnd = virtualSize - guest;
    let index = Math.floor(guest / reach);
    const untilTable = (next: number) => Math.min(untilEnd, next * reach - guest);
    for (; index < l1Entries; index += 1) {
      if (index * reach >= virtualSize) break;
      const at = l1Offset + index * TABLE_ENTRY_BYTES;
      let raw: bigint;
      let table: number | undefined;
      try {
        const piece = await this.#tables.pieceWith(at, TABLE_ENTRY_BYTES);
        raw = piece.view.getBigUint64(at - piece.offset);
        if (raw === 0n) continue;
        table = decodeL1Entry(raw).l2TableOffset;
      } catch (error) {
        if (index * reach > guest) break;
        return { kind: 'unreadable', length: untilTable(index + 1), error: corruptOnly(error) };
      }
      if (table === undefined) continue;
      // What lies before is unallocated as a whole; this table's turn comes with the next question.
      if (index * reach > guest) break;
      if (table % this.#clusterSize !== 0) {
        const error = this.#broken(guest, `its L2 table has the unaligned offset ${table}`);
        return { kind: 'unreadable', length: untilTable(index + 1), error };
      }
      return this.#mapInTable(guest, index * reach, table);
    }
    const next = index < l1Entries ? index * reach : virtualSize;
    return { kind: 'unallocated', length: Math.min(untilEnd, next - guest) };
  }

  /** @param start guest offset of the table's first cluster @param table its offset in the file */
  async #mapInTable(guest: number, start: number, table: number): Promise<LayerRange> {
    const untilEnd = this.#image.virtualSize - guest;
    const first = Math.floor((guest - start) / this.#clusterSize);
    const at = table + first * this.#entryBytes;
    const inCluster = (guest - start) % this.#clusterSize;
    const clusterLeft = Math.min(untilEnd, this.#clusterSize - inCluster);
    try {
      const piece = await this.#tables.pieceWith(at, this.#entryBytes);
      const inPiece = Math.floor((piece.bytes.length - (at - piece.offset)) / this.#entryBytes);
      const entries = Math.min(this.#l2Entries - first, inPiece);
      const unitsOfCluster = this.#clusterSize / this.#unitSize;
      const firstUnit = Math.floor(inCluster / this.#unitSize);
      const unitAt = (index: number): Unit => {
        const entry = Math.floor(index / unitsOfCluster);
        const clusterGuest = start + (first + entry) * this.#clusterSize;
        return this.#unit(
          piece.view,
          at - piece.offset + entry * this.#entryBytes,
          index % unitsOfCluster,
          clusterGuest,
        );
      };
      const unit = unitAt(firstUnit);
      const inUnit = inCluster % this.#unitSize;
      if (unit.kind === 'broken') {
        const length = Math.min(untilEnd, this.#unitSize - inUnit);
        return { kind: 'unreadable', length, error: this.#broken(guest, unit.reason) };
      }
      if (unit.kind === 'compressed') return this.#compressed(unit.entry, inCluster, clusterLeft);
      let count = 1;
      while (firstUnit + count < entries * unitsOfCluster) {
        const next = unitAt(firstUnit + count);
        if (next.kind !== unit.kind) break;
        if (next.kind === 'normal' && unit.kind === 'normal') {
          if (next.host !== unit.host + count * this.#unitSize) break;
        }
        count += 1;
      }
      const length = Math.min(untilEnd, count * this.#unitSize - inUnit);
      if (unit.kind !== 'normal') return { kind: unit.kind, length };
      return await this.#stored(guest, unit.host + inUnit, length, clusterLeft);
    } catch (error) {
      return { kind: 'unreadable', length: clusterLeft, error: corruptOnly(error) };
    }
  }

  /**
   * @param at of the entry in the view
   * @param index of the subcluster; 0 without extended L2 entries
   * @param guest offset of the cluster
   */
  #unit(view: DataView, at: number, index: number, guest: number): Unit {
    const { extendedL2, version, clusterBits } = this.#image;
    const raw = view.getBigUint64(at);
    const bitmap = extendedL2 ? view.getBigUint64(at + TABLE_ENTRY_BYTES) : 0n;
    if (raw === 0n && bitmap === 0n) return UNALLOCATED;
    const external = this.#data !== this.#file;
    // With extended entries the bitmap alone says what is zeros.
    const withoutZeroBit = extendedL2 && (raw & COMPRESSED) === 0n;
    let entry: L2Entry;
    try {
      entry = decodeL2Entry(withoutZeroBit ? raw & ~1n : raw, clusterBits);
    } catch (error) {
      return broken(corruptOnly(error).message);
    }
    if (entry.kind === 'compressed') {
      return external ? broken('it is compressed, in an external data file') : { kind: 'compressed', entry };
    }
    let kind: SubclusterKind = entry.kind;
    let host = entry.kind === 'unallocated' ? undefined : entry.offset;
    if (external && kind === 'unallocated' && (raw & COPIED) !== 0n) {
      kind = 'normal';
      host = hostOffset(0);
    }
    if (extendedL2) kind = subclusterKind(bitmap, index, host !== undefined);
    if (kind === 'invalid') return broken(`subcluster ${index} has contradictory bits`);
    if (kind === 'zero' && version === 2) return broken('it is a zero cluster, which version 2 has not');
    if (host !== undefined && host % this.#clusterSize !== 0) {
      return broken(`its host cluster has the unaligned offset ${host}`);
    }
    if (external && host !== undefined && host !== guest) {
      return broken(`it lies at offset ${host} of the external data file, expected ${guest}`);
    }
    if (kind === 'unallocated') return UNALLOCATED;
    if (kind === 'zero') return ZERO;
    return { kind: 'normal', host: (host ?? 0) + index * this.#unitSize };
  }

  #compressed(
    { offset, storedLength }: L2Entry & { readonly kind: 'compressed' },
    skip: number,
    length: number,
  ): LayerRange {
    const descriptor = this.#file.descriptor;
    const { compressionType: type } = this.#image;
    const payload = { type, descriptor, offset, storedLength, clusterSize: this.#clusterSize };
    return { kind: 'compressed', length, payload, skip };
  }

  /**
   * Bytes stored as they are: what the file has there. A cluster that the file ends in reads as zeros from
   * there on; one that begins behind its end has been cut off.
   * @param clusterLeft bytes from `guest` to the end of its cluster
   */
  async #stored(guest: number, host: number, length: number, clusterLeft: number): Promise<LayerRange> {
    const data = this.#data;
    if (host < data.size) {
      const range = await data.map(host);
      return { ...range, length: Math.min(range.length, length) };
    }
    if (Math.floor(host / this.#clusterSize) * this.#clusterSize < data.size) {
      return { kind: 'zero', length: Math.min(length, clusterLeft) };
    }
    const reason = `its data lies at offset ${host}, past the end of ${quoted(data.name)}`;
    return { kind: 'unreadable', length, error: this.#broken(guest, reason) };
  }

  #broken(guest: number, reason: string): Qcow2cError {
    const file = this.#file.name;
    return new Qcow2cError('ERR_CORRUPT', `${quoted(file)} is broken at guest offset ${guest}: ${reason}`, {
      file,
      offset: guest,
    });
  }
}

function broken(reason: string): Unit {
  return { kind: 'broken', reason };
}

/** A table that cannot be read makes its clusters unreadable, whatever the reason; a defect of ours does not. */
function corruptOnly(error: unknown): Qcow2cError {
  if (error instanceof Qcow2cError && (error.code === 'ERR_CORRUPT' || error.code === 'ERR_IO')) return error;
  throw error;
}
