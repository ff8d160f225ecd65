/**
 * An NBD export as the file of a target: writes in blocks that the server takes, zeros without sending them where the
 * server can, and flushes. Nothing is sent twice: after a lost connection nothing tells which writes were done.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { abortedError, internalError, ioError, quoted } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { RateLimit } from '../storage/rate-limit.js';
import type { TargetFile } from '../storage/target.js';
import { blockRead, readInRequests } from './block-reads.js';
import { BASE_ALLOCATION, BlockStatus, READS_AS_ZEROS } from './block-status.js';
import { NbdFailure, nbdError, readError } from './nbd-failure.js';
import type { NbdHandle, NbdSettings } from './nbd-handle.js';
import type { NbdAddress } from './nbd-name.js';
import { WriteConnections } from './write-connections.js';

/** Largest alignment of writes that is asked for; for larger blocks of a server the rest of a block is read first. */
const LARGEST_ALIGNMENT = 4096;
/**
 * Bytes of one write. With 2 MiB a server that writes through the page cache takes four times as long on Linux 6.18,
 * which looks for huge pages then; below 256 KiB the requests cost more.
 */
const WRITE_BYTES = 2 ** 19;
/** Bytes of one fast request for zeros, or of one trim: both carry no data. */
const QUICK_BYTES = 2 ** 30;
/** Bytes of one write of zeros. */
const ZERO_BYTES = 2 ** 21;
/** Bytes written after which a flush is sent, so that the last one does not exceed the time limit on a slow disk. */
const FLUSH_BYTES = 2 ** 28;

export class ExportFile implements TargetFile {
  readonly name: string;
  readonly directRefused: string | undefined = undefined;
  readonly answersLate = true;
  readonly cacheMode: CacheMode;
  readonly #connections: WriteConnections;
  /** The meta context base:allocation is there. */
  readonly #hasStatus: boolean;
  /** Every write is to be durable before it counts as done. */
  readonly #isDurable: boolean;
  #isFastRefused = false;
  #limit: RateLimit | undefined;
  #signal: AbortSignal | undefined;
  readonly #closing = new AbortController();
  #writeCalls = 0;
  #writtenBytes = 0;
  #unflushed = 0;
  #flushing: Promise<void> | undefined;
  /** Two read-modify-write operations on the same block would lose a write, so only one runs at a time. */
  #lastPartial: Promise<void> = Promise.resolve();
  #zeros: Uint8Array | undefined;

  /** @throws Qcow2cError ERR_UNSUPPORTED without libnbd; ERR_IO, also for an export that is read-only */
  static async open(address: NbdAddress, settings: NbdSettings, mode: CacheMode): Promise<ExportFile> {
    const file = address.name;
    try {
      const connections = await WriteConnections.open(address, settings, [BASE_ALLOCATION]);
      const { isReadOnly, size } = connections.facts;
      if (!isReadOnly && Number.isSafeInteger(size)) return new ExportFile(address.name, mode, connections);
      connections.close();
      if (!isReadOnly) throw new NbdFailure('broken', `its size of ${size} bytes is not possible`);
      throw new NbdFailure('refused', 'the export is read-only', { code: 'EROFS' });
    } catch (error) {
      if (!(error instanceof NbdFailure)) throw error;
      throw nbdError(`Could not open ${quoted(file)} for writing`, error, { file });
    }
  }

  private constructor(name: string, mode: CacheMode, connections: WriteConnections) {
    const { canFlush } = connections.writeFacts;
    this.name = name;
    this.cacheMode = mode;
    this.#connections = connections;
    this.#hasStatus = connections.facts.contexts.includes(BASE_ALLOCATION);
    // Without a flush, only writes that are durable at once become durable at all.
    this.#isDurable = mode === 'directsync' || mode === 'writethrough' || (mode !== 'unsafe' && !canFlush);
  }

  /** Bytes of the export. */
  get size(): number {
    return this.#connections.facts.size;
  }

  /** Whether the server can be asked to make writes durable. */
  get canBeDurable(): boolean {
    const { canFlush, canForce } = this.#connections.writeFacts;
    return canFlush || canForce;
  }

  get alignment(): number {
    return Math.min(this.#connections.facts.minimumBlock, LARGEST_ALIGNMENT);
  }

  get writeCalls(): number {
    return this.#writeCalls;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  limitRate(limit: RateLimit, signal?: AbortSignal): void {
    this.#limit = limit;
    this.#signal = signal;
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (this.#limit !== undefined) {
      const signals = [this.#closing.signal, this.#signal].filter((signal) => signal !== undefined);
      await this.#limit.admit(length, AbortSignal.any(signals));
    }
    const [only] = buffers;
    const bytes = buffers.length === 1 && only !== undefined ? only : Buffer.concat(buffers);
    await this.#put(offset, this.#insideExport(offset, bytes));
  }

  /** The bytes up to the export's end. Zeros that fill its last sector are left out. */
  #insideExport(offset: number, bytes: Uint8Array): Uint8Array {
    const end = offset + bytes.length;
    const { size } = this;
    if (end <= size) return bytes;
    const inside = bytes.subarray(0, Math.max(0, size - offset));
    const isPadding = end - size < SECTOR_SIZE && bytes.subarray(inside.length).every((byte) => byte === 0);
    if (isPadding) return inside;
    const what =
      `${quoted(this.name)} is too small: it has ${size} bytes, and at least ${end} are needed; ` +
      `could not write ${bytes.length} bytes at offset ${offset}`;
    const cause = Object.assign(new Error('No space left on device'), { code: 'ENOSPC' });
    throw ioError(what, cause, { file: this.name, offset, expected: end, found: size });
  }

  /** Writes bytes inside the export. */
  async #put(offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const { minimumBlock, size } = this.#connections.facts;
    const from = roundDown(offset, minimumBlock);
    const to = Math.min(roundUp(offset + bytes.length, minimumBlock), size);
    if (from === offset && to === offset + bytes.length) return this.#putBlocks(offset, bytes);
    const turn = this.#lastPartial.then(async () => {
      const blocks = new Uint8Array(to - from);
      await this.#fill(from, blocks.subarray(0, minimumBlock));
      const last = roundDown(blocks.length - 1, minimumBlock);
      if (last > 0) await this.#fill(from + last, blocks.subarray(last));
      blocks.set(bytes, offset - from);
      await this.#putBlocks(from, blocks);
    });
    this.#lastPartial = turn.catch(() => {});
    return turn;
  }

  /** Writes whole blocks. */
  async #putBlocks(offset: number, bytes: Uint8Array): Promise<void> {
    const { maximumRequest } = this.#connections.facts;
    const { canForce } = this.#connections.writeFacts;
    const isForced = this.#isDurable && canForce;
    const longest = Math.min(maximumRequest, WRITE_BYTES);
    const writes: Promise<void>[] = [];
    for (let done = 0; done < bytes.length; done += longest) {
      const piece = bytes.subarray(done, done + longest);
      const at = offset + done;
      const what = `Could not write ${piece.length} bytes to ${quoted(this.name)} at offset ${at}`;
      writes.push(this.#change(what, at, piece.length, (handle) => handle.write(piece, at, isForced)));
      this.#writeCalls += 1;
      this.#writtenBytes += piece.length;
    }
    await Promise.all(writes);
    if (this.#isDurable && !canForce) await this.#flush();
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
    if (this.#isDurable || this.cacheMode === 'unsafe') return;
    this.#unflushed += length;
    if (this.#unflushed < FLUSH_BYTES || this.#flushing !== undefined) return;
    this.#unflushed = 0;
    this.#flushing = this.#flush();
    // It is reported by the next flush, which waits for this one.
    this.#flushing.catch(() => {});
    void this.#flushing.then(
      () => {
        this.#flushing = undefined;
      },
      () => {},
    );
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const read = blockRead(this.#connections.facts, offset, into);
    if (read === undefined) return 0;
    await this.#fill(read.from, read.blocks);
    return read.finish();
  }

  /** Reads whole blocks. */
  #fill(offset: number, into: Uint8Array): Promise<void> {
    return readInRequests(this.#connections.facts, offset, into, async (piece, at) => {
      try {
        await this.#connections.request((handle) => handle.read(piece, at));
      } catch (error) {
        if (this.#closing.signal.aborted) throw abortedError(undefined);
        throw readError(this.name, at, error);
      }
    });
  }

  async sync(): Promise<void> {
    if (this.cacheMode === 'unsafe') return;
    await this.#flushing;
    await this.#flush();
  }

  async #flush(): Promise<void> {
    if (!this.#connections.writeFacts.canFlush) return;
    try {
      await this.#connections.request((handle) => handle.flush());
    } catch (error) {
      throw this.#asError(`Could not sync ${quoted(this.name)}`, error);
    }
  }

  /** @returns true: every server can be made to hold zeros */
  async punch(offset: number, length: number): Promise<boolean> {
    const { minimumBlock, size } = this.#connections.facts;
    const end = Math.min(offset + length, size);
    const from = Math.min(roundUp(offset, minimumBlock), end);
    const to = end === size ? end : Math.max(roundDown(end, minimumBlock), from);
    await this.#writeZeros(offset, from);
    if (this.#connections.writeFacts.canZero) await this.#zero(from, to);
    else await this.#zeroByTrim(from, to, this.#connections.writeFacts.canTrim);
    await this.#writeZeros(to, end);
    return true;
  }

  /** Zeros whole blocks by requests that carry no data: large ones while the server does not refuse them as slow. */
  async #zero(from: number, to: number): Promise<void> {
    const { maximumRequest } = this.#connections.facts;
    const { canForce, canZeroFast } = this.#connections.writeFacts;
    const isForced = this.#isDurable && canForce;
    for (let at = from; at < to; ) {
      const isFast = canZeroFast && !this.#isFastRefused;
      const length = Math.min(to - at, isFast ? QUICK_BYTES : maximumRequest);
      const what = `Could not write ${length} bytes of zeros to ${quoted(this.name)} at offset ${at}`;
      try {
        await this.#change(what, at, isFast ? 0 : length, (handle) =>
          handle.zero(at, length, isForced, isFast),
        );
        at += length;
      } catch (error) {
        if (!isFast || !isRefusal(error)) throw error;
        this.#isFastRefused = true;
      }
    }
    if (this.#isDurable && !canForce) await this.#flush();
  }

  /**
   * Zeros whole blocks of a server without a request for zeros. A trim promises nothing about the content, so the block
   * status must say that it is zeros.
   */
  async #zeroByTrim(from: number, to: number, mayTrim: boolean): Promise<void> {
    if (!this.#hasStatus) return this.#writeZeros(from, to);
    const { library } = this.#connections;
    const request = (begin: (handle: NbdHandle) => number) => this.#connections.request(begin);
    const status = new BlockStatus({ library, request }, BASE_ALLOCATION, 0, to);
    for (let at = from; at < to; ) {
      const { length, flags } = await status.at(at).catch((error) => {
        throw this.#asError(
          `Could not read the block status of ${quoted(this.name)} at offset ${at}`,
          error,
          at,
        );
      });
      const end = Math.min(at + (mayTrim ? Math.min(length, QUICK_BYTES) : length), to);
      if ((flags & READS_AS_ZEROS) === 0) {
        if (mayTrim) {
          await this.#trim(at, end);
          await this.#zeroByTrim(at, end, false);
        } else {
          await this.#writeZeros(at, end);
        }
      }
      at = end;
    }
  }

  async #trim(from: number, to: number): Promise<void> {
    const what = `Could not trim ${to - from} bytes of ${quoted(this.name)} at offset ${from}`;
    await this.#change(what, from, 0, (handle) => handle.trim(from, to - from));
  }

  async #writeZeros(from: number, to: number): Promise<void> {
    for (let at = from; at < to; at += ZERO_BYTES) {
      this.#zeros ??= new Uint8Array(ZERO_BYTES);
      await this.write(at, [this.#zeros.subarray(0, Math.min(ZERO_BYTES, to - at))]);
    }
  }

  async allocate(): Promise<void> {
    throw internalError('an export cannot be preallocated', { file: this.name });
  }

  /** Ends all connections; requests under way fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#connections.close();
  }

  #asError(what: string, error: unknown, offset?: number, expected?: number): Error {
    if (this.#closing.signal.aborted) return abortedError(undefined);
    return ioError(what, error, { file: this.name, offset, expected });
  }
}

/** Whether the server refuses a kind of request, rather than failing to do it. */
function isRefusal(error: unknown): boolean {
  const { systemCode } = error as { readonly systemCode?: string };
  return systemCode === 'ENOTSUP' || systemCode === 'EOPNOTSUPP' || systemCode === 'EINVAL';
}
