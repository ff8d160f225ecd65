/**
 * Reads the segments of an item into memory: reads files, inflates payloads, copies bytes that have arrived. With
 * salvage, unreadable bytes become zeros and are noted, in the smallest pieces that can be told apart. A malformed
 * payload that QEMU reads is read and noted too.
 */
import { isExportNumber } from '../../nbd/open-exports.js';
import { throwIfCancelled } from '../cancellation.js';
import { ItemError, type ItemFailure, isOfLostFile, type UnreadableItemRange } from '../item-failure.js';
import type { PoolSharedMemory, TaskSetup } from '../messages/task.js';
import type { DataSegment } from '../segments.js';
import { ClusterInflater, type Decompressors, type InflatedCluster } from './cluster-inflater.js';
import { PositionalReader } from './positional-reader.js';
import type { ClusterSegment, SplitSegment } from './split-segments.js';

/** A failed read is tried again in pieces of this many bytes: disks fail in blocks. */
const SALVAGED_PIECE = 4096;

/** Bytes between two segments of an export that are read in one request; less than the usual cluster. */
const MOST_ZEROS_READ = 2 ** 15;

/** In bytes from the item's start. */
export type ByteRange = readonly [from: number, to: number];
export type ReaderSetup = Pick<TaskSetup, 'readAlignment' | 'salvage' | 'itemSize'>;
export type ReaderMemory = Pick<PoolSharedMemory, 'arrivals' | 'cancellation'>;

export class SegmentReader {
  readonly #setup: ReaderSetup;
  readonly #memory: ReaderMemory;
  readonly #reader: PositionalReader;
  readonly #inflater: ClusterInflater;

  /** @param decompressors one for each type that a segment may have */
  constructor(setup: ReaderSetup, memory: ReaderMemory, decompressors: Decompressors) {
    this.#setup = setup;
    this.#memory = memory;
    this.#reader = new PositionalReader(setup.readAlignment);
    this.#inflater = new ClusterInflater(this.#reader, decompressors, setup.salvage);
  }

  /**
   * Fills `item` with the segments' bytes, and with zeros between and after them.
   * @param segments in ascending order, inside the item
   * @param slot of the item, where bytes arrive
   * @param unreadable receives the ranges that became zeros, and malformed payloads that were read
   * @param wanted the parts of the item that are used, in bytes and ascending; the rest becomes anything
   * @throws ItemError for a lost file; without salvage, for the first range that cannot be read
   */
  read(
    segments: readonly SplitSegment[],
    slot: number,
    item: Uint8Array,
    unreadable: UnreadableItemRange[],
    wanted: readonly ByteRange[] = [[0, item.length]],
  ): void {
    let filled = 0;
    let read: ReadRun | undefined;
    for (const [index, segment] of segments.entries()) {
      throwIfCancelled(this.#memory);
      const { at, length } = segment;
      if (read === undefined || index > read.last) read = this.#readTogether(segments, index, item);
      fillZeros(item, filled, at, wanted);
      const place = item.subarray(at, at + length);
      switch (segment.kind) {
        case 'data':
          if (!read.isRead) this.#readData(segment, place, unreadable);
          break;
        case 'compressed':
          this.#orZeros(segment, place, unreadable, () => this.#inflate(segment, place, unreadable));
          break;
        case 'arrived':
          place.set(this.#arrived(slot, at, length));
          break;
      }
      filled = at + length;
    }
    fillZeros(item, filled, item.length, wanted);
  }

  /**
   * Inflates the cluster of a segment that begins with it.
   * @param cluster receives all of it, also the bytes past the segment's end
   * @returns the payload without trailing bytes, valid until the next call, if it is one of exactly a cluster
   * @throws ItemError without salvage
   */
  readCompressed(
    segment: ClusterSegment,
    cluster: Uint8Array,
    unreadable: UnreadableItemRange[],
  ): Uint8Array | undefined {
    const inflated = this.#orZeros(segment, cluster, unreadable, () =>
      this.#inflater.inflateInto(segment, cluster),
    );
    noteFlaw(unreadable, segment, inflated);
    return inflated?.payload;
  }

  /**
   * Reads segments of an export that are near each other, from the first one on, in one request: each request costs
   * more than the zeros between them.
   */
  #readTogether(segments: readonly SplitSegment[], first: number, item: Uint8Array): ReadRun {
    const run = nearSegments(segments, first);
    if (run === undefined) return { last: first, isRead: false };
    const { last, descriptor, offset, at, length } = run;
    try {
      this.#reader.readInto(descriptor, offset, item.subarray(at, at + length));
      return { last, isRead: true };
    } catch (error) {
      // One by one, to find the range that cannot be read.
      const failure = failureIn(run, error);
      if (isOfLostFile(failure)) throw new ItemError(failure);
      return { last, isRead: false };
    }
  }

  #inflate(segment: ClusterSegment, place: Uint8Array, unreadable: UnreadableItemRange[]): void {
    const { skip, length, inflatedLength } = segment;
    if (length === inflatedLength) {
      noteFlaw(unreadable, segment, this.#inflater.inflateInto(segment, place));
    } else {
      const inflated = this.#inflater.inflate(segment);
      place.set(inflated.cluster.subarray(skip, skip + length));
      noteFlaw(unreadable, segment, inflated);
    }
  }

  #readData(segment: DataSegment, place: Uint8Array, unreadable: UnreadableItemRange[]) {
    const { at, length, descriptor, offset } = segment;
    try {
      this.#reader.readInto(descriptor, offset, place);
    } catch (error) {
      this.#refuseWithoutSalvage(segment, error);
      for (let from = 0, to: number; from < length; from = to) {
        to = Math.min(length, from + SALVAGED_PIECE - ((offset + from) % SALVAGED_PIECE));
        const piece = place.subarray(from, to);
        const part = { ...segment, at: at + from, length: to - from, offset: offset + from };
        this.#orZeros(part, piece, unreadable, () => this.#reader.readInto(descriptor, part.offset, piece));
      }
    }
  }

  /** Calls `read` and returns its result. With salvage, a failure fills `place` with zeros instead. */
  #orZeros<T>(
    segment: DataSegment | ClusterSegment,
    place: Uint8Array,
    unreadable: UnreadableItemRange[],
    read: () => T,
  ): T | undefined {
    try {
      return read();
    } catch (error) {
      const failure = this.#refuseWithoutSalvage(segment, error);
      place.fill(0);
      const { at, length } = segment;
      note(unreadable, { at, length, failure });
      return undefined;
    }
  }

  #refuseWithoutSalvage(segment: DataSegment | ClusterSegment, error: unknown): ItemFailure {
    const failure = failureIn(segment, error);
    if (!this.#setup.salvage || isOfLostFile(failure)) throw new ItemError(failure);
    return failure;
  }

  #arrived(slot: number, at: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory.arrivals, slot * this.#setup.itemSize + at, length);
  }
}

/** Fills what is wanted of [from, to). */
function fillZeros(item: Uint8Array, from: number, to: number, wanted: readonly ByteRange[]): void {
  for (const [first, end] of wanted) {
    if (first >= to) break;
    if (end > from) item.fill(0, Math.max(from, first), Math.min(to, end));
  }
}

/** @returns the failure with its place in the item @throws any other error than an ItemError */
function failureIn(segment: DataSegment | ClusterSegment, error: unknown): ItemFailure {
  if (!(error instanceof ItemError)) throw error;
  const { failure } = error;
  // The offset of a payload says nothing about places in its cluster.
  const into = segment.kind === 'data' ? Math.max(0, failure.offset - segment.offset) : 0;
  return { ...failure, at: segment.at + into };
}

/** Consecutive segments up to the one with the index `last`, and whether their bytes are in the item. */
interface ReadRun {
  readonly last: number;
  readonly isRead: boolean;
}

/** @returns one segment over two or more of an export that are near each other; undefined: the first one is alone */
function nearSegments(
  segments: readonly SplitSegment[],
  first: number,
): (DataSegment & { readonly last: number }) | undefined {
  const start = segments[first];
  if (start?.kind !== 'data' || !isExportNumber(start.descriptor)) return undefined;
  let last = first;
  let length = start.length;
  for (let next = segments[last + 1]; next?.kind === 'data'; next = segments[last + 1]) {
    const distance = next.at - start.at;
    if (next.descriptor !== start.descriptor || next.offset - start.offset !== distance) break;
    if (distance - length > MOST_ZEROS_READ) break;
    length = distance + next.length;
    last += 1;
  }
  return last === first ? undefined : { ...start, length, last };
}

/** Notes a malformed payload: the bytes of the segment that became zeros, or that all of them were read. */
function noteFlaw(
  unreadable: UnreadableItemRange[],
  { at, length, skip }: ClusterSegment,
  inflated: InflatedCluster | undefined,
): void {
  if (inflated?.flaw === undefined) return;
  const { yielded } = inflated.flaw;
  // Another segment of the cluster, perhaps of another item, may have inflated it.
  const failure = { ...inflated.flaw.failure, at };
  const had = Math.min(length, Math.max(0, yielded - skip));
  if (had === length) unreadable.push({ at, length, failure, isKept: true });
  else note(unreadable, { at: at + had, length: length - had, failure });
}

/** Adds a range. Adjacent pieces of one failed read become one range, with the first piece's failure. */
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
