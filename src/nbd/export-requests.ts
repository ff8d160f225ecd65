/**
 * The requests to an export that is written. They take whole blocks, become durable as the cache mode asks, and fail with
 * errors that name the export. Nothing is sent twice: after a lost connection nothing tells which writes were done.
 */
import { abortedError, ioError, quoted } from '../errors.js';
import type { CacheMode } from '../storage/cache-mode.js';
import { readInRequests } from './block-reads.js';
import { BASE_ALLOCATION, BlockStatus, type StatusRange } from './block-status.js';
import type { ExportFacts, WriteFacts } from './export-facts.js';
import { isKindRefused, readError, statusError } from './nbd-failure.js';
import type { NbdHandle } from './nbd-handle.js';
import type { WriteConnections } from './write-connections.js';

/**
 * Bytes of one write. With 2 MiB a server that writes through the page cache takes four times as long on Linux 6.18,
 * which looks for huge pages then; below 256 KiB the requests cost more.
 */
const WRITE_BYTES = 2 ** 19;
/** Bytes written after which a flush is sent, so that the last one does not exceed the time limit on a slow disk. */
const FLUSH_BYTES = 2 ** 28;

export class ExportRequests {
  readonly #name: string;
  readonly #connections: WriteConnections;
  readonly #mode: CacheMode;
  /** Every change is to be durable before it counts as done. */
  readonly #isDurable: boolean;
  /** The server makes each of them durable; otherwise flushes do. */
  readonly #isForced: boolean;
  #isStatusRefused = false;
  #writeCalls = 0;
  #writtenBytes = 0;
  #unflushed = 0;
  #flushing: Promise<void> | undefined;

  /** @param name of the export */
  constructor(name: string, mode: CacheMode, connections: WriteConnections) {
    const { canFlush, canForce } = connections.writeFacts;
    this.#name = name;
    this.#connections = connections;
    this.#mode = mode;
    // Without a flush, only writes that are durable at once become durable at all.
    this.#isDurable = mode === 'directsync' || mode === 'writethrough' || (mode !== 'unsafe' && !canFlush);
    this.#isForced = this.#isDurable && canForce;
  }

  get facts(): ExportFacts {
    return this.#connections.facts;
  }

  get writeFacts(): WriteFacts {
    return this.#connections.writeFacts;
  }

  /** Whether the server tells the block status, as far as is known. */
  get hasStatus(): boolean {
    return this.facts.contexts.includes(BASE_ALLOCATION) && !this.#isStatusRefused;
  }

  get writeCalls(): number {
    return this.#writeCalls;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const longest = Math.min(this.facts.maximumRequest, WRITE_BYTES);
    const writes: Promise<void>[] = [];
    for (let done = 0; done < bytes.length; done += longest) {
      const piece = bytes.subarray(done, done + longest);
      const at = offset + done;
      const what = `Could not write ${piece.length} bytes to ${quoted(this.#name)} at offset ${at}`;
      writes.push(this.#change(what, at, piece.length, (handle) => handle.write(piece, at, this.#isForced)));
      this.#writeCalls += 1;
      this.#writtenBytes += piece.length;
    }
    await Promise.all(writes);
    await this.flushUnforced();
  }

  /** Makes a range zeros without sending them. Call `flushUnforced` after the last range. @param isFast see NbdHandle.zero */
  zero(offset: number, length: number, isFast: boolean): Promise<void> {
    const what = `Could not write ${length} bytes of zeros to ${quoted(this.#name)} at offset ${offset}`;
    return this.#change(what, offset, isFast ? 0 : length, (handle) =>
      handle.zero(offset, length, this.#isForced, isFast),
    );
  }

  trim(offset: number, length: number): Promise<void> {
    const what = `Could not trim ${length} bytes of ${quoted(this.#name)} at offset ${offset}`;
    return this.#change(what, offset, 0, (handle) => handle.trim(offset, length));
  }

  read(offset: number, into: Uint8Array): Promise<void> {
    return readInRequests(this.facts, offset, into, async (piece, at) => {
      try {
        await this.#connections.request((handle) => handle.read(piece, at));
      } catch (error) {
        throw this.#connections.isClosed ? abortedError(undefined) : readError(this.#name, at, error);
      }
    });
  }

  /** @returns answers with the block status as it is from now on, for offsets below `end` */
  status(end: number): (offset: number) => Promise<StatusRange> {
    const { library } = this.#connections;
    const request = (begin: (handle: NbdHandle) => number) =>
      this.#connections.request(begin).catch((error) => {
        this.#isStatusRefused ||= isKindRefused(error);
        throw error;
      });
    const status = new BlockStatus({ library, request }, BASE_ALLOCATION, 0, end);
    return (offset) =>
      status.at(offset).catch((error) => {
        throw this.#connections.isClosed ? abortedError(undefined) : statusError(this.#name, offset, error);
      });
  }

  /** Flushes if the changes so far are to be durable now and the server could not be asked to make each of them so. */
  async flushUnforced(): Promise<void> {
    if (this.#isDurable && !this.#isForced) await this.#flush();
  }

  async sync(): Promise<void> {
    if (this.#mode === 'unsafe') return;
    await this.#flushing;
    await this.#flush();
  }

  /** Ends all connections; requests under way fail with ERR_ABORTED. */
  close(): void {
    this.#connections.close();
  }

  /**
   * Makes a request that changes the export. Flushes from time to time.
   * @param what the operation, for the message
   * @param length bytes that a flush may have to write
   */
  async #change(
    what: string,
    offset: number,
    length: number,
    begin: (handle: NbdHandle) => number,
  ): Promise<void> {
    try {
      await this.#connections.request(begin);
    } catch (error) {
      throw this.#asError(what, error, offset, length);
    }
    if (this.#isDurable || this.#mode === 'unsafe') return;
    this.#unflushed += length;
    if (this.#unflushed < FLUSH_BYTES || this.#flushing !== undefined) return;
    this.#unflushed = 0;
    this.#flushing = this.#flush();
    this.#flushing.then(
      () => {
        this.#flushing = undefined;
      },
      // The next `sync` reports it: it waits for this flush.
      () => {},
    );
  }

  async #flush(): Promise<void> {
    if (!this.writeFacts.canFlush) return;
    try {
      await this.#connections.request((handle) => handle.flush());
    } catch (error) {
      throw this.#asError(`Could not sync ${quoted(this.#name)}`, error);
    }
  }

  #asError(what: string, error: unknown, offset?: number, expected?: number): Error {
    if (this.#connections.isClosed) return abortedError(undefined);
    return ioError(what, error, { file: this.#name, offset, expected });
  }
}
