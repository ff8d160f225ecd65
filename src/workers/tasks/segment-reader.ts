/**
 * Brings the segments of a work item into memory, in a worker: reads, inflates, or takes what has arrived.
 * With salvage, what cannot be had becomes zeros and is noted, as little of it as can be told apart. A payload that QEMU
 * reads although something is wrong with it is read and noted, too.
 */
import { throwIfCancelled } from '../cancellation.js';
import type {
  CompressedSegment,
  DataSegment,
  ItemFailure,
  Segment,
  UnreadableItemRange,
  WorkerSetup,
} from '../messages.js';
import { ClusterInflater, type Decompressors, type InflatedCluster } from './cluster-inflater.js';
import { PositionalReader } from './positional-reader.js';
import { SegmentError } from './segment-error.js';

/** Bytes of the pieces in which a failed read is tried again: what disks fail in. */
const SALVAGED_PIECE = 4096;

export type ReaderSetup = Pick<
  WorkerSetup,
  'readAlignment' | 'salvage' | 'arrivals' | 'itemSize' | 'cancellation'
>;

export class SegmentReader {
  readonly #setup: ReaderSetup;
  readonly #reader: PositionalReader;
  readonly #inflater: ClusterInflater;

  /** @param decompressors one for each type that a segment may have */
  constructor(setup: ReaderSetup, decompressors: Decompressors) {
    this.#setup = setup;
    this.#reader = new PositionalReader(setup.readAlignment);
    this.#inflater = new ClusterInflater(this.#reader, decompressors, setup.salvage);
  }

  /**
   * Fills `item` with the segments' bytes and zeros between and behind them.
   * @param segments in ascending order, inside the item
   * @param slot of the item, where its bytes arrive
   * @param unreadable takes what became zeros instead, and what was read although something is wrong with it
   * @throws SegmentError without salvage, for the first part that cannot be had
   */
  read(
    segments: readonly Segment[],
    slot: number,
    item: Uint8Array,
    unreadable: UnreadableItemRange[],
  ): void {
    let filled = 0;
    for (const segment of segments) {
      throwIfCancelled(this.#setup);
      const { at, length } = segment;
      if (at > filled) item.fill(0, filled, at);
      const place = item.subarray(at, at + length);
      switch (segment.kind) {
        case 'data':
          this.#readData(segment, place, unreadable);
          break;
        case 'compressed':
          this.#orZeros(segment, place, unreadable, () => this.#inflate(segment, place, unreadable));
          break;
        case 'arrived':
          place.set(this.#arrived(slot, length));
          break;
      }
      filled = at + length;
    }
    item.fill(0, filled);
  }

  /**
   * Inflates the cluster of a segment that begins with it.
   * @param cluster takes all of it, also what lies past the segment's end
   * @returns the payload without trailing bytes, valid until the next call, if it is one of exactly a cluster
   * @throws SegmentError without salvage
   */
  readCompressed(
    segment: CompressedSegment,
    cluster: Uint8Array,
    unreadable: UnreadableItemRange[],
  ): Uint8Array | undefined {
    const inflated = this.#orZeros(segment, cluster, unreadable, () =>
      this.#inflater.inflateInto(segment, cluster),
    );
    noteFlaw(unreadable, segment, inflated);
    return inflated?.payload;
  }

  #inflate(segment: CompressedSegment, place: Uint8Array, unreadable: UnreadableItemRange[]): void {
    const { skip, length, inflatedLength } = segment;
    if (length === inflatedLength) {
      noteFlaw(unreadable, segment, this.#inflater.inflateInto(segment, place));
    } else {
      const inflated = this.#inflater.inflate(segment);
      place.set(inflated.cluster.subarray(skip, skip + length));
      noteFlaw(unreadable, segment, inflated);
    }
  }

  #readData(
    { at, length, descriptor, offset }: DataSegment,
    place: Uint8Array,
    unreadable: UnreadableItemRange[],
  ) {
    try {
      this.#reader.readInto(descriptor, offset, place);
    } catch (error) {
      this.#refuseWithoutSalvage(error);
      for (let from = 0, to: number; from < length; from = to) {
        to = Math.min(length, from + SALVAGED_PIECE - ((offset + from) % SALVAGED_PIECE));
        const piece = place.subarray(from, to);
        const part = { at: at + from, length: to - from };
        this.#orZeros(part, piece, unreadable, () =>
          this.#reader.readInto(descriptor, offset + part.at - at, piece),
        );
      }
    }
  }

  /** What `read` returns; when it fails, with salvage, zeros in `place`. */
  #orZeros<T>(
    { at, length }: Pick<Segment, 'at' | 'length'>,
    place: Uint8Array,
    unreadable: UnreadableItemRange[],
    read: () => T,
  ): T | undefined {
    try {
      return read();
    } catch (error) {
      const failure = this.#refuseWithoutSalvage(error);
      place.fill(0);
      note(unreadable, { at, length, failure });
      return undefined;
    }
  }

  #refuseWithoutSalvage(error: unknown): ItemFailure {
    if (error instanceof SegmentError && this.#setup.salvage) return error.failure;
    throw error;
  }

  #arrived(slot: number, length: number): Uint8Array {
    const { arrivals, itemSize } = this.#setup;
    return new Uint8Array(arrivals as SharedArrayBuffer, slot * itemSize, length);
  }
}

/** Notes what is wrong with a payload: of the segment's bytes those that became zeros, or that all of them were had. */
function noteFlaw(
  unreadable: UnreadableItemRange[],
  { at, length, skip }: CompressedSegment,
  inflated: InflatedCluster | undefined,
): void {
  if (inflated?.flaw === undefined) return;
  const { failure, yielded } = inflated.flaw;
  const had = Math.min(length, Math.max(0, yielded - skip));
  if (had === length) unreadable.push({ at, length, failure, isKept: true });
  else note(unreadable, { at: at + had, length: length - had, failure });
}

/** Adds a part; pieces of one failed read that lie side by side become one, with the first's failure. */
function note(unreadable: UnreadableItemRange[], part: UnreadableItemRange): void {
  const last = unreadable.at(-1);
  const continues =
    last !== undefined &&
    last.at + last.length === part.at &&
    last.failure.kind !== 'corrupt' &&
    last.failure.kind === part.failure.kind &&
    last.failure.descriptor === part.failure.descriptor;
  if (continues) unreadable.splice(-1, 1, { ...last, length: last.length + part.length });
  else unreadable.push(part);
}
