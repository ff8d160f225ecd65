/**
 * The descriptor of a target: opened with O_DIRECT if the cache mode asks for it, and reopened through the page cache
 * if the file system refuses the first direct access.
 */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { ioError, quoted } from '../errors.js';
import { DIRECT_ALIGNMENT } from '../system/aligned-memory.js';
import { fileIdentity } from '../system/file-identity.js';
import { asksForDirect, type CacheMode } from './cache-mode.js';
import { isRefusal, openBuffered, openInMode } from './open-direct.js';

const closeFile = promisify(fs.close);
const stat = promisify(fs.fstat);
const identityOf = async (fd: number) => fileIdentity(await stat(fd, { bigint: true }));

export class DirectDescriptor {
  readonly #path: string;
  readonly #name: string;
  readonly #mode: CacheMode;
  /** The last one is used. Earlier ones stay open, because accesses through them may be in progress. */
  readonly #descriptors: number[];
  #direct: boolean;
  #directRefused: string | undefined;
  /** Whether a direct write has succeeded. From then on EINVAL is an error and not a refusal of O_DIRECT. */
  #directWorks = false;
  /** Settles when the file is open without O_DIRECT. */
  #reopening: Promise<void> | undefined;

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
    flags: number,
    permissions: number,
  ): Promise<DirectDescriptor> {
    try {
      const { descriptor, directRefused } = await openInMode(path, mode, flags, permissions);
      return new DirectDescriptor(path, name, mode, descriptor, directRefused);
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
    this.#name = name;
    this.#mode = mode;
    this.#descriptors = [fd];
    this.#direct = asksForDirect(mode) && directRefused === undefined;
    this.#directRefused = directRefused;
  }

  /** The descriptor to use; -1 after `close`. */
  get fd(): number {
    return this.#descriptors.at(-1) ?? -1;
  }

  get isDirect(): boolean {
    return this.#direct;
  }

  /** Offset, length and address of every access are multiples of this, in bytes. */
  get alignment(): number {
    return this.#direct ? DIRECT_ALIGNMENT : 1;
  }

  /** The mode in use. */
  get cacheMode(): CacheMode {
    if (this.#direct || !asksForDirect(this.#mode)) return this.#mode;
    return this.#mode === 'none' ? 'writeback' : 'writethrough';
  }

  /** Why O_DIRECT is not used although the mode asks for it. */
  get directRefused(): string | undefined {
    return this.#directRefused;
  }

  /** Records that a direct write has succeeded. */
  noteDirectWrite(): void {
    this.#directWorks = true;
  }

  /**
   * Reopens the file without O_DIRECT if `error` refuses it.
   * @param direct whether the access used O_DIRECT
   * @returns whether to retry the access
   * @throws Qcow2cError ERR_IO when the file cannot be opened again
   */
  async reopenIfRefused(error: unknown, direct: boolean): Promise<boolean> {
    if (!direct || !isRefusal(error)) return false;
    if (this.#reopening === undefined) {
      if (this.#directWorks) return false;
      this.#reopening = this.#reopenBuffered();
    }
    // Other accesses that used O_DIRECT may fail after the first has reopened the file; they are retried too.
    await this.#reopening;
    return true;
  }

  /** Closes every descriptor, even if closing one fails. @throws the system's first error */
  async close(): Promise<void> {
    const closing = this.#descriptors.splice(0).map((fd) => closeFile(fd));
    for (const result of await Promise.allSettled(closing)) {
      if (result.status === 'rejected') throw result.reason;
    }
  }

  async #reopenBuffered(): Promise<void> {
    try {
      const direct = await identityOf(this.fd);
      this.#descriptors.push(await openBuffered(this.#path, this.#mode));
      if ((await identityOf(this.fd)) !== direct) throw new Error('another file has its name');
    } catch (error) {
      throw ioError(`Could not open ${quoted(this.#name)} without O_DIRECT`, error, { file: this.#name });
    }
    this.#direct = false;
    this.#directRefused = 'the file system refuses direct writes';
  }
}
