/**
 * A file or device open for reading and writing, O_DIRECT where the file system takes it. The target of
 * every conversion. Falls back to the page cache when O_DIRECT is refused at open or at the first write.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { roundDown } from '../arithmetic.js';
import { ioError, quoted } from '../errors.js';
import { DIRECT_ALIGNMENT } from '../system/aligned-memory.js';
import { fileIdentity } from '../system/file-identity.js';
import { ALLOCATE, fallocate, PUNCH_HOLE } from '../system/libc.js';
import { ReadError, readFully } from '../system/read-fully.js';
import { isTransient, MOST_IDLE_ATTEMPTS } from '../system/transient-error.js';
import { asksForDirect, type CacheMode } from './cache-mode.js';
import { isRefusal, openAsAsked, openBuffered } from './open-direct.js';
import type { RateLimit } from './rate-limit.js';
import type { SparseStorage } from './storage.js';

const closeFile = promisify(fs.close);
const stat = promisify(fs.fstat);
const identityOf = async (fd: number) => fileIdentity(await stat(fd, { bigint: true }));
const writeVector: (fd: number, buffers: readonly Uint8Array[], position: number) => Promise<number> = (
  fd,
  buffers,
  position,
) =>
  new Promise((resolve, reject) => {
    fs.writev(fd, buffers, position, (error, written) => (error ? reject(error) : resolve(written)));
  });

export class DirectFile implements SparseStorage {
  /** The name for messages: what the user asked for, not the temporary name. */
  readonly name: string;
  readonly #path: string;
  readonly #mode: CacheMode;
  /** The descriptor in use is the last; earlier ones were left when O_DIRECT was refused. */
  readonly #descriptors: number[];
  #direct: boolean;
  #directRefused: string | undefined;
  /** Whether a direct write has worked: from then on EINVAL is an error, not a refusal of O_DIRECT. */
  #directWorks = false;
  #leaving: Promise<void> | undefined;
  /** Changes under way: no descriptor is closed, and its number given to another file, before they end. */
  readonly #inFlight = new Set<Promise<unknown>>();
  readonly #closing = new AbortController();
  /** Bytes of a device. */
  #capacity: number | undefined;
  #fullDiskAdvice: string | undefined;
  #limit: RateLimit | undefined;
  /** Ends the waits for the limit. */
  #hurry: AbortSignal = this.#closing.signal;
  #writeCalls = 0;
  #writtenBytes = 0;

  /**
   * Opens `path` for reading and writing.
   * @param name the file's name for messages
   * @param flags further open flags, such as O_CREAT | O_EXCL
   * @param permissions of a file that is made, before the umask
   * @throws Qcow2cError ERR_IO
   */
  static async open(
    path: string,
    name: string,
    mode: CacheMode,
    flags = 0,
    permissions = 0,
  ): Promise<DirectFile> {
    try {
      const { descriptor, directRefused } = await openAsAsked(path, mode, flags, permissions);
      return new DirectFile(path, name, mode, descriptor, directRefused);
    } catch (error) {
      const verb = (flags & fs.constants.O_CREAT) !== 0 ? 'create' : 'open';
      throw ioError(`Could not ${verb} ${quoted(name)}`, error, { file: name });
    }
  }

  private constructor(
    path: string,
    name: string,
    mode: CacheMode,
    fd: number,
    directRefused: string | undefined,
  ) {
    this.#path = path;
    this.name = name;
    this.#mode = mode;
    this.#descriptors = [fd];
    this.#direct = asksForDirect(mode) && directRefused === undefined;
    this.#directRefused = directRefused;
  }

  get fd(): number {
    return this.#descriptors.at(-1) ?? -1;
  }

  get alignment(): number {
    return this.#direct ? DIRECT_ALIGNMENT : 1;
  }

  /** How the file is really written. */
  get cacheMode(): CacheMode {
    if (this.#direct || !asksForDirect(this.#mode)) return this.#mode;
    return this.#mode === 'none' ? 'writeback' : 'writethrough';
  }

  /** Why O_DIRECT is not in use although it was asked for. */
  get directRefused(): string | undefined {
    return this.#directRefused;
  }

  get writeCalls(): number {
    return this.#writeCalls;
  }

  get writtenBytes(): number {
    return this.#writtenBytes;
  }

  /**
   * From now on every write waits for the limit, which other files may share.
   * @param signal ends the waits at once, as closing the file does: such a write fails with ERR_ABORTED
   */
  limitRate(limit: RateLimit, signal?: AbortSignal): void {
    this.#limit = limit;
    if (signal !== undefined) this.#hurry = AbortSignal.any([this.#closing.signal, signal]);
  }

  /** The file is a device of so many bytes, which a write past its end is told. */
  setCapacity(bytes: number): void {
    this.#capacity = bytes;
  }

  /** What the message of a write says when the disk or a quota is full. */
  setFullDiskAdvice(advice: string): void {
    this.#fullDiskAdvice = advice;
  }

  write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    return this.#whileOpen(this.#writeAll(offset, buffers));
  }

  /** Remembers that something is under way on the descriptor. */
  async #whileOpen<Result>(change: Promise<Result>): Promise<Result> {
    this.#inFlight.add(change);
    try {
      return await change;
    } finally {
      this.#inFlight.delete(change);
    }
  }

  async #writeAll(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (this.#limit !== undefined) await this.#limit.admit(length, this.#hurry);
    let done = 0;
    let idle = 0;
    while (done < length) {
      const direct = this.#direct;
      const before = done;
      try {
        const written = await writeVector(this.fd, after(buffers, done), offset + done);
        this.#writeCalls += 1;
        this.#writtenBytes += written;
        if (direct) this.#directWorks = true;
        done += written;
        // After a short direct write the next must begin aligned again.
        if (direct && done < length) done = roundDown(done, DIRECT_ALIGNMENT);
      } catch (error) {
        const passes = isTransient(error) || (await this.#hasLeftDirect(error, direct));
        if (idle === MOST_IDLE_ATTEMPTS || !passes) {
          throw this.#writeError(error, offset, length);
        }
      }
      idle = done > before ? 0 : idle + 1;
      if (idle > MOST_IDLE_ATTEMPTS) {
        throw this.#writeError(new Error(`only ${done} bytes were taken`), offset, length);
      }
    }
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    for (;;) {
      const direct = this.#direct;
      try {
        return await readFully(this.fd, into, offset, this.alignment);
      } catch (error) {
        if (!(error instanceof ReadError)) throw error;
        if (await this.#hasLeftDirect(error.cause, direct)) continue;
        const at = offset + error.done;
        const what = `Could not read ${quoted(this.name)} at offset ${at}`;
        throw ioError(what, error.cause, { file: this.name, offset: at });
      }
    }
  }

  async sync(): Promise<void> {
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
   * Allocates the blocks of a part of the file that has none there; what is there stays as it is, what was
   * not reads as zeros. A file that is too short becomes longer. Offset and length in bytes.
   * @throws Qcow2cError ERR_IO when the system cannot; then any part may be allocated
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
   * Sets the file's length in bytes and sees that the system agrees.
   * @throws Qcow2cError ERR_IO
   */
  async truncate(length: number): Promise<void> {
    try {
      await this.#settled();
      // A file that has its length already, as one that nobody wrote to, keeps its times.
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
   * Closes every descriptor, whatever fails, once the writes under way have ended; those that still wait
   * for the rate limit are given up.
   * @throws Qcow2cError ERR_IO for the first failure
   */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#settled();
    const closing = this.#descriptors.splice(0).map((fd) => closeFile(fd));
    for (const result of await Promise.allSettled(closing)) {
      if (result.status === 'fulfilled') continue;
      throw ioError(`Could not close ${quoted(this.name)}`, result.reason, { file: this.name });
    }
  }

  /**
   * Leaves O_DIRECT when `error` refuses it.
   * @param direct whether the operation was tried with O_DIRECT
   * @returns whether the operation can be tried again, on a descriptor without O_DIRECT
   */
  async #hasLeftDirect(error: unknown, direct: boolean): Promise<boolean> {
    if (!direct || !isRefusal(error)) return false;
    if (this.#leaving === undefined) {
      if (this.#directWorks) return false;
      this.#leaving = this.#leaveDirect();
    }
    // What was in flight when another one left O_DIRECT only has to be tried again.
    await this.#leaving;
    return true;
  }

  /** @throws Qcow2cError ERR_IO */
  async #leaveDirect(): Promise<void> {
    try {
      const direct = await identityOf(this.fd);
      this.#descriptors.push(await openBuffered(this.#path, this.#mode));
      if ((await identityOf(this.fd)) !== direct) throw new Error('another file has its name');
    } catch (error) {
      throw ioError(`Could not open ${quoted(this.name)} without O_DIRECT`, error, { file: this.name });
    }
    this.#direct = false;
    this.#directRefused = 'the file system refuses direct writes';
  }

  /** Waits until no change is under way, also of those that start meanwhile. */
  async #settled(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
  }

  #writeError(cause: unknown, offset: number, length: number): Error {
    const end = offset + length;
    if (this.#capacity !== undefined && end > this.#capacity) {
      const what =
        `${quoted(this.name)} is too small: it has ${this.#capacity} bytes, and at least ${end} are needed; ` +
        `could not write ${length} bytes at offset ${offset}`;
      return ioError(what, cause, { file: this.name, offset, expected: end, found: this.#capacity });
    }
    const what = `Could not write ${length} bytes to ${quoted(this.name)} at offset ${offset}`;
    const facts = { file: this.name, offset, expected: length };
    const error = ioError(what, cause, facts);
    const isFull = error.systemCode === 'ENOSPC' || error.systemCode === 'EDQUOT';
    if (!isFull || this.#fullDiskAdvice === undefined) return error;
    return ioError(`${what} (${this.#fullDiskAdvice})`, cause, facts);
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
