/**
 * Plans an examination: the payloads in the L2 tables of the disk and its snapshots, cut into items of equal work in
 * guest order. Counts the disk's clusters on the way.
 */
import { type Qcow2cError, quoted } from '../errors.js';
import type { HostFile } from '../image/source.js';
import { brokenAt } from '../qcow2/cluster-lookup.js';
import { COMPRESSED, OFFSET_MASK, READS_AS_ZEROS } from '../qcow2/entry-bits.js';
import { hasDataFile, hasExtendedL2 } from '../qcow2/features.js';
import { clusterSizeOf, l2EntryBytes } from '../qcow2/geometry.js';
import type { Header } from '../qcow2/header.js';
import { type L2Format, type L2Run, l2Run, unitSizeOf, unitsOf } from '../qcow2/l2-run.js';
import type { MarkedClusters } from '../qcow2/marked-clusters.js';
import { type L1Table, type LostPiece, type TablePiece, walkTables } from '../qcow2/table-walk.js';
import { ITEM_BYTES } from '../workers/plan.js';

/** Pieces of tables for an item at most, so that progress is reported where payloads are few. */
const MOST_PIECES = 64;

/** The disk's guest clusters by type. A cluster whose entry cannot be read has no type. */
export interface ClusterCounts {
  compressed: number;
  /** Stored uncompressed; with subclusters, at least one of them. */
  normal: number;
  zero: number;
  unallocated: number;
}

/** A cluster on the disk or in a snapshot to examine or to report. In bytes. */
export interface FoundCluster {
  readonly guestOffset: number;
  /** Of the payload; for a broken cluster, of the host cluster or table. */
  readonly hostOffset: number;
  /** Guest bytes. */
  readonly length: number;
  /** Index of the first state with it. */
  readonly state: number;
  /** The largest possible length of the payload, or the error of an invalid one. */
  readonly content: number | Qcow2cError;
}

export interface PlannedExamination {
  /** The item's place and length on the disk, holes included. */
  readonly guestOffset: number;
  readonly length: number;
  /** In guest order. */
  readonly found: readonly FoundCluster[];
}

interface PlanParts {
  readonly file: HostFile;
  readonly header: Header;
  readonly dataFile: HostFile | undefined;
  /** The disk first, then its snapshots. */
  readonly states: readonly L1Table[];
  /** Marks the host clusters of all payloads. */
  readonly hostClusters: MarkedClusters | undefined;
  readonly signal: AbortSignal | undefined;
}

export class ExaminationPlan {
  readonly #parts: PlanParts;
  readonly #format: L2Format;
  readonly #clusterSize: number;
  readonly #diskClusters: number;
  readonly #counts = { compressed: 0, normal: 0, zero: 0, broken: 0 };
  /** The clusters of the next item. */
  #found: FoundCluster[] = [];

  constructor(parts: PlanParts) {
    const { version, clusterBits, virtualSize } = parts.header;
    this.#parts = parts;
    this.#format = {
      version,
      clusterBits,
      extendedL2: hasExtendedL2(parts.header),
      external: hasDataFile(parts.header),
    };
    this.#clusterSize = clusterSizeOf(parts.header);
    this.#diskClusters = Math.ceil(virtualSize / this.#clusterSize);
  }

  /** Complete after the last item. */
  get clusters(): ClusterCounts {
    const { broken, ...counts } = this.#counts;
    const known = counts.compressed + counts.normal + counts.zero + broken;
    return { ...counts, unallocated: this.#diskClusters - known };
  }

  /**
   * @returns in guest order; a payload that several states have at one guest offset, once
   * @throws errors that are no fault of the file
   */
  async *items(): AsyncGenerator<PlannedExamination> {
    const size = this.#clusterSize;
    const most = Math.max(1, ITEM_BYTES / size);
    let start = 0;
    let pieces = 0;
    const take = (end: number): PlannedExamination => {
      const item = { guestOffset: start, length: end - start, found: this.#found };
      this.#found = [];
      start = end;
      pieces = 0;
      return item;
    };
    const { file, states, signal } = this.#parts;
    for await (const piece of walkTables(file, this.#format, states, signal)) {
      pieces += 1;
      if (piece.kind === 'lost') {
        this.#passLost(piece);
        continue;
      }
      const end = piece.guest + piece.count * size;
      for (let index = 0; index < piece.count; index += 1) {
        this.#passCluster(piece, index);
        if (this.#found.length >= most) yield take(piece.guest + (index + 1) * size);
      }
      if (pieces >= MOST_PIECES) yield take(end);
    }
    if (this.#found.length > 0) yield take(Math.max(start, this.#diskClusters * size));
  }

  #passLost({ guest, length, state, offset, error }: LostPiece): void {
    if (state === 0) {
      const first = guest / this.#clusterSize;
      const end = Math.min(this.#diskClusters, first + length / this.#clusterSize);
      this.#counts.broken += Math.max(0, end - first);
    }
    if (error === undefined) return;
    this.#found.push({ guestOffset: guest, hostOffset: offset, length, state, content: error });
  }

  /** One guest cluster in all tables that describe it. */
  #passCluster({ guest: first, tables }: TablePiece, index: number): void {
    const guest = first + index * this.#clusterSize;
    const at = index * l2EntryBytes(this.#format);
    const seen = tables.length > 1 ? new Set<bigint>() : undefined;
    for (const { state, view } of tables) {
      if (seen !== undefined) {
        const raw = view.getBigUint64(at);
        if (seen.has(raw)) continue;
        seen.add(raw);
      }
      const run = this.#clusterRun(view, at, guest);
      if (state === 0 && guest < this.#parts.header.virtualSize && run.kind !== 'unallocated') {
        this.#counts[run.kind] += 1;
      }
      if (run.kind === 'compressed') this.#passPayload(run, guest, state);
      else if (run.kind === 'normal') this.#passNormal(run.host, guest, state);
      else if (run.kind === 'broken') this.#passBroken(run, view.getBigUint64(at), guest, state);
    }
  }

  /** The whole cluster. With subclusters it is normal if one of them is. */
  #clusterRun(view: DataView, at: number, guest: number): L2Run {
    let whole: L2Run | undefined;
    for (let unit = 0; unit < unitsOf(this.#format); ) {
      const run = l2Run(this.#format, view, at, unit, guest);
      if (run.kind === 'normal') {
        return { ...run, host: run.host - unit * unitSizeOf(this.#format) };
      }
      if (whole === undefined || run.kind === 'zero') whole = run;
      unit += run.units;
    }
    return whole as L2Run;
  }

  #passPayload(
    { offset, storedLength }: L2Run & { readonly kind: 'compressed' },
    guest: number,
    state: number,
  ): void {
    this.#parts.hostClusters?.add(offset, storedLength);
    this.#find(guest, offset, state, storedLength);
  }

  /** Reports a cluster past the end of the file. A cluster in which the file ends reads as zeros from there on. */
  #passNormal(host: number, guest: number, state: number): void {
    const { file, dataFile } = this.#parts;
    const data = this.#format.external ? dataFile : file;
    if (data === undefined || host < data.size) return;
    const reason = `its data lies at offset ${host}, past the end of ${quoted(data.name)}`;
    this.#find(guest, host, state, brokenAt(this.#parts.file.name, guest, reason));
  }

  /** Reports a zero cluster in version 2 only: the check of the tables reports every other broken entry. */
  #passBroken(
    { reason }: L2Run & { readonly kind: 'broken' },
    raw: bigint,
    guest: number,
    state: number,
  ): void {
    if (this.#format.version !== 2 || (raw & READS_AS_ZEROS) === 0n || (raw & COMPRESSED) !== 0n) return;
    this.#find(guest, Number(raw & OFFSET_MASK), state, brokenAt(this.#parts.file.name, guest, reason));
  }

  #find(guestOffset: number, hostOffset: number, state: number, content: number | Qcow2cError): void {
    this.#found.push({ guestOffset, hostOffset, length: this.#clusterSize, state, content });
  }
}
