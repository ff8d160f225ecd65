/**
 * A file or device open for reading and writing, O_DIRECT where the file system takes it. The target of
 * every conversion. Falls back to the page cache when O_DIRECT is refused at open or at the first write.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { ioError, quoted } from '../errors.js';
import { DIRECT_ALIGNMENT, roundDown } from './aligned-memory.js';
import type { CacheMode } from './cache-mode.js';
import type { Storage } from './storage.js';

const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const writeVector: (fd: number, buffers: readonly Uint8Array[], position: number) => Promise<number> = (
  fd,
  buffers,
  position,
) =>
  new Promise((resolve, reject) => {
    fs.writev(fd, buffers, position, (error, written) => (error ? reject(error) : resolve(written)));
  });
const readAt: (fd: number, into: Uint8Array, position: number) => Promise<number> = (fd, into, position) =>
  new Promise((resolve, reject) => {
    fs.read(fd, into, 0, into.length, position, (error, count) => (error ? reject(error) : resolve(count)));
  });

/** Undefined on systems without O_DIRECT (macOS, Windows). */
const O_DIRECT: number | undefined = fs.constants.O_DIRECT;
const O_DSYNC: number = fs.constants.O_DSYNC ?? 0;
/** A file opened with both did not exist before. */
const MADE_BY_US = fs.constants.O_CREAT | fs.constants.O_EXCL;

/** Attempts that may move no byte before a write is given up: signals and full queues pass, faults stay. */
const MOST_IDLE_ATTEMPTS = 8;

export class DirectFile implements Storage {
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
  /** Writes under way: no descriptor is closed, and its number given to another file, before they end. */
  readonly #inFlight = new Set<Promise<void>>();
  #writeCalls = 0;
  #writtenBytes = 0;

  /**
   * Opens `path` for reading and writing.
   * @param name the file's name for messages
   * @param flags further open flags, such as O_CREAT | O_EXCL
   * @throws Qcow2cError ERR_IO
   */
  static async open(path: string, name: string, mode: CacheMode, flags = 0): Promise<DirectFile> {
    const wanted = openFlags(mode, flags);
    try {
      if (!asksForDirect(mode)) return new DirectFile(path, name, mode, await openFile(path, wanted, 0o644));
      const fd = await openDirect(path, wanted);
      if (fd !== undefined) return new DirectFile(path, name, mode, fd);
      const refused =
        O_DIRECT === undefined ? 'this system has no O_DIRECT' : 'the file system refuses O_DIRECT';
      return new DirectFile(path, name, mode, await openFile(path, wanted, 0o644), refused);
    } catch (error) {
      const verb = (flags & fs.constants.O_CREAT) !== 0 ? 'create' : 'open';
      throw ioError(`Could not ${verb} ${quoted(name)}`, error, { file: name });
    }
  }

  private constructor(path: string, name: string, mode: CacheMode, fd: number, directRefused?: string) {
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

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const writing = this.#writeAll(offset, buffers);
    this.#inFlight.add(writing);
    try {
      await writing;
    } finally {
      this.#inFlight.delete(writing);
    }
  }

  async #writeAll(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
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
        if (idle === MOST_IDLE_ATTEMPTS || !(await this.#mayTryAgain(error, direct))) {
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
    let done = 0;
    let idle = 0;
    while (done < into.length) {
      const direct = this.#direct;
      try {
        const count = await readAt(this.fd, into.subarray(done), offset + done);
        done += count;
        idle = 0;
        // An unaligned count is the end of the file: a direct read cannot go on from there.
        if (count === 0 || (direct && done % DIRECT_ALIGNMENT !== 0)) break;
      } catch (error) {
        if (idle === MOST_IDLE_ATTEMPTS || !(await this.#mayTryAgain(error, direct))) {
          throw ioError(`Could not read ${quoted(this.name)} at offset ${offset}`, error, {
            file: this.name,
            offset,
          });
        }
        idle += 1;
      }
    }
    return done;
  }

  async sync(): Promise<void> {
    if (this.#mode === 'unsafe') return;
    try {
      await promisify(fs.fdatasync)(this.fd);
    } catch (error) {
      throw ioError(`Could not sync ${quoted(this.name)}`, error, { file: this.name });
    }
  }

  /**
   * Sets the file's length in bytes and sees that the system agrees.
   * @throws Qcow2cError ERR_IO
   */
  async truncate(length: number): Promise<void> {
    try {
      await this.#settled();
      await promisify(fs.ftruncate)(this.fd, length);
      const { size } = await promisify(fs.fstat)(this.fd);
      if (size !== length) throw new Error(`it is ${size} bytes long afterwards`);
    } catch (error) {
      throw ioError(`Could not set the length of ${quoted(this.name)} to ${length}`, error, {
        file: this.name,
        expected: length,
      });
    }
  }

  /**
   * Closes every descriptor, whatever fails, once the writes under way have ended.
   * @throws Qcow2cError ERR_IO for the first failure
   */
  async close(): Promise<void> {
    await this.#settled();
    const closing = this.#descriptors.splice(0).map((fd) => closeFile(fd));
    for (const result of await Promise.allSettled(closing)) {
      if (result.status === 'fulfilled') continue;
      throw ioError(`Could not close ${quoted(this.name)}`, result.reason, { file: this.name });
    }
  }

  /**
   * Whether what failed with `error` may be tried again: because it was interrupted, or without O_DIRECT.
   * @param direct whether it was tried with O_DIRECT
   */
  async #mayTryAgain(error: unknown, direct: boolean): Promise<boolean> {
    if (isPassing(error)) return true;
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
      this.#descriptors.push(await openFile(this.#path, openFlags(this.#mode, 0)));
    } catch (error) {
      throw ioError(`Could not open ${quoted(this.name)} without O_DIRECT`, error, { file: this.name });
    }
    this.#direct = false;
    this.#directRefused = 'the file system refuses direct writes';
  }

  /** Waits until no write is under way, also of those that start meanwhile. */
  async #settled(): Promise<void> {
    while (this.#inFlight.size > 0) await Promise.allSettled(this.#inFlight);
  }

  #writeError(cause: unknown, offset: number, length: number): Error {
    const what = `Could not write ${length} bytes to ${quoted(this.name)} at offset ${offset}`;
    return ioError(what, cause, { file: this.name, offset, expected: length });
  }
}

function asksForDirect(mode: CacheMode): boolean {
  return mode === 'none' || mode === 'directsync';
}

/** @returns a descriptor for direct I/O, or undefined when it is refused; then nothing is left behind */
async function openDirect(path: string, flags: number): Promise<number | undefined> {
  if (O_DIRECT === undefined) return undefined;
  try {
    return await openFile(path, flags | O_DIRECT, 0o644);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    // The refusing open may have made the file already. Without both flags it might not be ours to remove.
    if ((flags & MADE_BY_US) === MADE_BY_US) await promisify(fs.unlink)(path).catch(() => {});
    return undefined;
  }
}

function openFlags(mode: CacheMode, more: number): number {
  const durable = mode === 'directsync' || mode === 'writethrough' ? O_DSYNC : 0;
  return fs.constants.O_RDWR | durable | more;
}

function isRefusal(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EINVAL';
}

function isPassing(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'EINTR' || code === 'EAGAIN';
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
