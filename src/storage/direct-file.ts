/**
 * A file or device open for reading and writing: the target of every conversion. Completes short and interrupted
 * writes, counts them, limits their rate and reports their errors.
 */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { promisify } from 'node:util';
import { roundDown } from '../arithmetic.js';
import { ioError, quoted } from '../errors.js';
import { DIRECT_ALIGNMENT } from '../system/aligned-memory.js';
import { ALLOCATE, fallocate, PUNCH_HOLE, systemError } from '../system/libc.js';
import { processLimit } from '../system/process-limits.js';
import { ReadError, readFully } from '../system/read-fully.js';
import { isTransient, MOST_IDLE_ATTEMPTS } from '../system/transient-error.js';
import type { CacheMode } from './cache-mode.js';
import { DirectDescriptor } from './direct-descriptor.js';
import { EarlySync } from './early-sync.js';
import { isRefusal } from './open-direct.js';
import type { RateLimit } from './rate-limit.js';
import { pastCapacity, type SparseStorage } from './storage.js';

const stat = promisify(fs.fstat);
const writeVector: (fd: number, buffers: readonly Uint8Array[], position: number) => Promise<number> = (
  fd,
  buffers,
  position,
) =>
  new Promise((resolve, reject) => {
    fs.writev(fd, buffers, position, (error, written) => (error ? reject(error) : resolve(written)));
  });

export class DirectFile implements SparseStorage {
  /** The name for messages: the user's name for the target, not the temporary name. */
  readonly name: string;
  /**
   * The disk has the next write when one ends. More would keep the threads of Node.js from reading the tables of the
   * source.
   */
  readonly concurrentItems = 2;
  readonly #mode: CacheMode;
  readonly #descriptor: DirectDescriptor;
  /** Changes in progress. No descriptor is closed before they end, because another file could get its number. */
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  readonly #earlySync = new EarlySync(() => this.#syncNow());
  /** Bytes of a device. */
  #capacity: number | undefined;
  #fullDiskAdvice: string | undefined;
  #limit: RateLimit | undefined;
  /** Cancels the waits for the rate limit. */
  #limitSignal: AbortSignal = this.#closing.signal;
  #writeCalls = 0;
  #writtenBytes = 0;

  /**
   * Opens `path` for reading and writing.
   * @param name the file's name for messages
   * @param flags further open flags, such as O_CREAT | O_EXCL
   * @param permissions of a created file, before the umask
   * @throws Qcow2cError ERR_IO
   */
  static async open(
    path: string,
    name: string,
    mode: CacheMode,
    flags = 0,
    permissions = 0,
  ): Promise<DirectFile> {
    return new DirectFile(name, mode, await DirectDescriptor.open(path, name, mode, flags, permissions));
  }

  private constructor(name: string, mode: CacheMode, descriptor: DirectDescriptor) {
    this.name = name;
    this.#mode = mode;
    this.#descriptor = descriptor;
  }

  get fd(): number {
    return this.#descriptor.fd;
  }

  get alignment(): number {
    return this.#descriptor.alignment;
  }

  /** The mode in use. */
  get cacheMode(): CacheMode {
    return this.#descriptor.cacheMode;
  }

  /** Why O_DIRECT is not used although the mode asks for it. */
  get directRefused(): string | undefined {
    return this.#descriptor.directRefused;
  }

  get writeCalls(): number {
    return this.#writeCalls;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /**
   * Limits the rate of all later writes. Several files may share the limit.
   * @param signal cancels the waits, as closing the file does; a cancelled write fails with ERR_ABORTED
   */
  limitRate(limit: RateLimit, signal?: AbortSignal): void {
    this.#limit = limit;
    if (signal !== undefined) this.#limitSignal = AbortSignal.any([this.#closing.signal, signal]);
  }

  /** States that the file is a device of this many bytes. The error of a write past its end reports the size. */
  setCapacity(bytes: number): void {
    this.#capacity = bytes;
  }

  /** Sets the advice that is added to the error of a write when the disk or a quota is full. */
  setFullDiskAdvice(advice: string): void {
    this.#fullDiskAdvice = advice;
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    await this.#whileOpen(this.#writeAll(offset, buffers));
    if (this.#inFlight.size > 0) return;
    const sync = this.#earlySync.startIfWorthIt(this.#writtenBytes);
    if (sync !== undefined) void this.#whileOpen(sync);
  }

  /** Records a change in progress on the descriptor. */
  async #whileOpen<Result>(change: Promise<Result>): Promise<Result> {
    if (this.#inFlight.size === 0) this.#earlySync.diskWorks();
    this.#inFlight.add(change);
    try {
      return await change;
    } finally {
      this.#inFlight.delete(change);
      if (this.#inFlight.size === 0) this.#earlySync.diskWaits();
    }
  }

  async #writeAll(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (this.#limit !== undefined) await this.#limit.admit(length, this.#limitSignal);
    let done = 0;
    let idle = 0;
    while (done < length) {
      const direct = this.#descriptor.isDirect;
      const before = done;
      try {
        const written = await writeVector(this.fd, after(buffers, done), offset + done);
        this.#writeCalls += 1;
        this.#writtenBytes += written;
        if (direct) this.#descriptor.noteDirectWrite();
        done += written;
        // After a short direct write the next one must start aligned again.
        if (direct && done < length) done = roundDown(done, DIRECT_ALIGNMENT);
      } catch (error) {
        const mayRetry = isTransient(error) || (await this.#descriptor.reopenIfRefused(error, direct));
        if (idle === MOST_IDLE_ATTEMPTS || !mayRetry) {
          throw this.#writeError(error, offset, length);
        }
      }
      idle = done > before ? 0 : idle + 1;
      if (idle > MOST_IDLE_ATTEMPTS) {
        throw this.#writeError(new Error(`only ${done} bytes were written`), offset, length);
      }
    }
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    for (;;) {
      const direct = this.#descriptor.isDirect;
      try {
        return await readFully(this.fd, into, offset, this.alignment);
      } catch (error) {
        if (!(error instanceof ReadError)) throw error;
        if (await this.#descriptor.reopenIfRefused(error.cause, direct)) continue;
        const at = offset + error.done;
        const what = `Could not read ${quoted(this.name)} at offset ${at}`;
        throw ioError(what, error.cause, { file: this.name, offset: at });
      }
    }
  }

  async sync(): Promise<void> {
    await this.#earlySync.end();
    await this.#syncNow();
  }

  async #syncNow(): Promise<void> {
    if (this.#mode === 'unsafe') return;
    try {
      await promisify(fs.fdatasync)(this.fd);
    } catch (error) {
      throw ioError(`Could not sync ${quoted(this.name)}`, error, { file: this.name });
    }
  }

  async punch(offset: number, length: number): Promise<boolean> {
    const refused = await this.#whileOpen(fallocate(this.fd, PUNCH_HOLE, offset, length));
    return refused === undefined;
  }

  /**
   * Allocates the blocks of a range that has none: existing bytes stay, new blocks read as zeros, and a file that is
   * too short grows. Offset and length in bytes.
   * @throws Qcow2cError ERR_IO when the system refuses; any part of the range may be allocated then
   */
  async allocate(offset: number, length: number): Promise<void> {
    if (length === 0) return;
    const refused = await this.#whileOpen(fallocate(this.fd, ALLOCATE, offset, length));
    if (refused === undefined) return;
    throw ioError(`Could not preallocate ${length} bytes of ${quoted(this.name)}`, refused, {
      file: this.name,
      offset,
      expected: length,
    });
  }

  /**
   * Sets the file's length in bytes and verifies it.
   * @throws Qcow2cError ERR_IO
   */
  async truncate(length: number): Promise<void> {
    try {
      await this.#settled();
      // A file that already has this length keeps its times.
      if ((await this.#length()) === length) return;
      await promisify(fs.ftruncate)(this.fd, length);
      const size = await this.#length();
      if (size !== length) throw new Error(`it is ${size} bytes long afterwards`);
    } catch (error) {
      throw ioError(`Could not set the length of ${quoted(this.name)} to ${length}`, error, {
        file: this.name,
        expected: length,
      });
    }
  }

  async #length(): Promise<number> {
    return (await stat(this.fd)).size;
  }

  /**
   * Closes the file once all writes in progress have ended. Writes that wait for the rate limit are aborted.
   * @throws Qcow2cError ERR_IO for the first failure
   */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#settled();
    try {
      await this.#descriptor.close();
    } catch (error) {
      throw ioError(`Could not close ${quoted(this.name)}`, error, { file: this.name });
    }
  }

  /** Waits until no change is in progress, including changes that start meanwhile. */
  async #settled(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
  }

  #writeError(cause: unknown, offset: number, length: number): Error {
    const end = offset + length;
    if (this.#capacity !== undefined && end > this.#capacity) {
      return pastCapacity(this.name, this.#capacity, offset, length, cause);
    }
    // A limit inside the write shortens it to an unaligned length, which O_DIRECT refuses.
    const isCut = isRefusal(cause) && end > (processLimit('Max file size') ?? Number.POSITIVE_INFINITY);
    const reason = isCut ? systemError(constants.errno.EFBIG) : cause;
    const what = `Could not write ${length} bytes to ${quoted(this.name)} at offset ${offset}`;
    const facts = { file: this.name, offset, expected: length };
    const error = ioError(what, reason, facts);
    const isFull = error.systemCode === 'ENOSPC' || error.systemCode === 'EDQUOT';
    if (!isFull || this.#fullDiskAdvice === undefined) return error;
    return ioError(`${what} (${this.#fullDiskAdvice})`, reason, facts);
  }
}

/** The buffers without their first `skip` bytes. */
function after(buffers: readonly Uint8Array[], skip: number): readonly Uint8Array[] {
  if (skip === 0) return buffers;
  const rest: Uint8Array[] = [];
  let left = skip;
  for (const buffer of buffers) {
    if (left < buffer.length) rest.push(buffer.subarray(left));
    left = Math.max(0, left - buffer.length);
  }
  return rest;
}
