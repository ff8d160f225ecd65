/**
 * The ranges of one meta context of an export, such as base:allocation. The status of the ranges that follow is asked
 * for ahead, several requests at a time, because a disk is walked from its start to its end.
 */
import type { Libnbd } from './libnbd.js';
import { isRefused } from './nbd-failure.js';
import type { NbdHandle } from './nbd-handle.js';
import { rangesOf, type StatusRanges, unknownRange } from './status-ranges.js';

/** A range of equal flags, from the requested offset on. */
export interface StatusRange {
  /** Bytes, at least one. */
  readonly length: number;
  /** Bits that the meta context defines, such as STATE_ZERO of base:allocation. */
  readonly flags: number;
}

export const BASE_ALLOCATION = 'base:allocation';
/** The bit of base:allocation that tells zeros (NBD_STATE_ZERO). Bit 0 (a hole) alone promises nothing about the content. */
export const STATE_ZERO = 0x02;

/**
 * Bytes of one request: the 32-bit call takes less than 4 GiB. A multiple of every block size. A range that one reply
 * does not cover is asked for again when the walk reaches it.
 */
const PIECE = 2 ** 31;
/** Requests under way, besides the one that is waited for. */
const AHEAD = 7;

/** Makes requests: see NbdSource. */
export interface StatusRequests {
  readonly library: Libnbd;
  /** @throws NbdFailure */
  request(begin: (handle: NbdHandle) => number): Promise<void>;
}

/** The reply to a request for the status of a range. In bytes of the export. */
interface AwaitedReply {
  readonly start: number;
  readonly end: number;
  readonly reply: Promise<StatusRanges>;
}

/**
 * Replies that cover little cost more than reading: bytes that could be read instead of waiting for a reply, and instead
 * of handling an extent; and the loss after which the rest of a piece is read.
 */
const REPLY_BYTES = 2 ** 16;
const EXTENT_BYTES = 2 ** 10;
const MOST_LOST_BYTES = 2 ** 26;

/** Walks at the same time, each with its own requests ahead: one plans a run, the other weighs it. */
const WALKS = 2;

export class BlockStatus {
  readonly #newWalk: () => StatusWalk;
  /** The last used one first. */
  #walks: StatusWalk[] = [];

  /**
   * @param unknown the flags of a range if the server tells none
   * @param size of the export in bytes
   */
  constructor(requests: StatusRequests, context: string, unknown: number, size: number) {
    this.#newWalk = () => new StatusWalk(requests, context, unknown, size);
  }

  /**
   * @param offset bytes, below the size
   * @returns the longest range that is known
   * @throws NbdFailure
   */
  at(offset: number): Promise<StatusRange> {
    const walk = this.#nearest(offset);
    this.#walks = [walk, ...this.#walks.filter((other) => other !== walk)].slice(0, WALKS);
    return walk.at(offset);
  }

  /** The walk that is nearest below an offset: walks go upwards. A new one if there is none. */
  #nearest(offset: number): StatusWalk {
    const below = this.#walks.filter(({ start }) => start <= offset).sort((a, b) => b.start - a.start);
    return below[0] ?? this.#newWalk();
  }
}

class StatusWalk {
  readonly #requests: StatusRequests;
  readonly #context: string;
  readonly #unknown: number;
  readonly #size: number;
  /** Replies that came or are awaited, ascending, without gaps. */
  #replies: AwaitedReply[] = [];
  #current: StatusRanges | undefined;
  #index = 0;
  /** What the replies cost more than reading would have, in bytes. */
  #lostBytes = 0;

  constructor(requests: StatusRequests, context: string, unknown: number, size: number) {
    this.#requests = requests;
    this.#context = context;
    this.#unknown = unknown;
    this.#size = size;
  }

  /** Where the last reply begins, in bytes. */
  get start(): number {
    return this.#current?.start ?? this.#replies[0]?.start ?? 0;
  }

  async at(offset: number): Promise<StatusRange> {
    const reply = await this.#replyAt(offset);
    const end = reply.ends[this.#index] as number;
    return { length: end - offset, flags: reply.flags[this.#index] as number };
  }

  /** The reply that covers `offset`; `#index` is then its range. */
  async #replyAt(offset: number): Promise<StatusRanges> {
    const known = this.#current;
    if (known !== undefined && offset >= known.start && offset < lastOf(known.ends)) {
      this.#index = find(known.ends, offset, this.#index);
      return known;
    }
    this.#current = undefined;
    try {
      for (;;) {
        const reply = await this.#nextReply(offset);
        // A walk that skips ranges may skip the rest of a piece.
        if (offset >= lastOf(reply.ends)) continue;
        this.#current = reply;
        this.#index = find(reply.ends, offset, 0);
        return reply;
      }
    } catch (error) {
      this.#replies = [];
      throw error;
    }
  }

  /** The first reply whose piece covers `offset`. */
  async #nextReply(offset: number): Promise<StatusRanges> {
    // A walk goes upwards: what was asked for ahead serves it wherever it goes on.
    while (this.#replies[0] !== undefined && offset >= this.#replies[0].end) this.#replies.shift();
    if (this.#replies[0] !== undefined && offset < this.#replies[0].start) this.#replies = [];
    this.#ask(offset);
    const [first] = this.#replies;
    if (first === undefined) throw new RangeError(`no status at ${offset}`);
    const reply = await first.reply;
    const covered = lastOf(reply.ends);
    // The rest of the piece is asked for at once, in front of the others.
    if (covered < first.end) this.#replies[0] = this.#beginRest(reply, Math.max(covered, offset), first.end);
    else this.#replies.shift();
    return reply;
  }

  /** Asks for the rest of a piece, unless the replies cost more than reading. */
  #beginRest({ start, ends, extents }: StatusRanges, from: number, end: number): AwaitedReply {
    const gain = lastOf(ends) - start - REPLY_BYTES - extents * EXTENT_BYTES;
    this.#lostBytes = Math.max(0, this.#lostBytes - gain);
    if (this.#lostBytes < MOST_LOST_BYTES) return this.#begin(from, end);
    return { start: from, end, reply: Promise.resolve(unknownRange(from, end, this.#unknown)) };
  }

  /** Keeps requests under way from `offset` on. */
  #ask(offset: number): void {
    let at = this.#replies.at(-1)?.end ?? offset;
    while (this.#replies.length <= AHEAD && at < this.#size) {
      const end = Math.min(this.#size, at + PIECE - (at % PIECE));
      this.#replies.push(this.#begin(at, end));
      at = end;
    }
  }

  #begin(start: number, end: number): AwaitedReply {
    const reply = this.#request(start, end);
    // It may fail before the walk waits for it.
    reply.catch(() => {});
    return { start, end, reply };
  }

  async #request(start: number, end: number): Promise<StatusRanges> {
    const { library } = this.#requests;
    const is64 = library.has('nbd_aio_block_status_64');
    let found: StatusRanges | undefined;
    const listening = library.onExtents((context, extents) => {
      if (context === this.#context) found ??= rangesOf(extents, start, end, this.#unknown);
    }, is64);
    try {
      const { callback } = listening;
      await this.#requests.request((handle) => handle.blockStatus(end - start, start, callback, is64));
    } catch (error) {
      // A server that refuses the request has told nothing about the range.
      if (!isRefused(error)) throw error;
    } finally {
      listening.stop();
    }
    return found ?? unknownRange(start, end, this.#unknown);
  }
}

function lastOf(ends: Float64Array): number {
  return ends[ends.length - 1] as number;
}

/** @returns the index of the first end after `offset`, looked for from `from` on if that is not too far */
function find(ends: Float64Array, offset: number, from: number): number {
  let low = from > 0 && offset < (ends[from - 1] as number) ? 0 : from;
  let high = ends.length - 1;
  if ((ends[low] as number) > offset) return low;
  if (low < high && (ends[low + 1] as number) > offset) return low + 1;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if ((ends[middle] as number) > offset) high = middle;
    else low = middle + 1;
  }
  return low;
}
