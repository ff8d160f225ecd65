/** An NBD export as the file of a target: takes writes of any length, and sends the server whole blocks. */
import { roundDown, roundUp } from '../arithmetic.js';
import { internalError, quoted } from '../errors.js';
import { SECTOR_SIZE } from '../sector.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { RateLimit } from '../storage/rate-limit.js';
import { pastCapacity } from '../storage/storage.js';
import type { TargetFile } from '../storage/target.js';
import { blockRead } from './block-reads.js';
import { BASE_ALLOCATION } from './block-status.js';
import type { NbdSettings } from './connection-options.js';
import { ExportRequests } from './export-requests.js';
import { ExportZeros } from './export-zeros.js';
import type { NbdConnection } from './nbd-connection.js';
import { NbdFailure, nbdError, TOO_LARGE } from './nbd-failure.js';
import { exportIdentity, type NbdAddress } from './nbd-name.js';
import { WriteConnections } from './write-connections.js';

/** Largest alignment of writes that is asked for; for larger blocks of a server the rest of a block is read first. */
const LARGEST_ALIGNMENT = 4096;

export class ExportFile implements TargetFile {
  readonly name: string;
  readonly directRefused: string | undefined = undefined;
  /** A server answers late. */
  readonly concurrentItems = 4;
  readonly cacheMode: CacheMode;
  /** As in NbdSource. */
  readonly identity: string;
  readonly connection: NbdConnection;
  readonly #requests: ExportRequests;
  readonly #zeros: ExportZeros;
  readonly #closing = new AbortController();
  #limit: RateLimit | undefined;
  /** Cancels the waits for the rate limit. */
  #hurry: AbortSignal = this.#closing.signal;
  /** Two read-modify-write operations on the same block would lose a write, so only one runs at a time. */
  #lastPartial: Promise<void> = Promise.resolve();

  /** @throws Qcow2cError ERR_UNSUPPORTED without libnbd; ERR_IO, also for an export that is read-only */
  static async open(address: NbdAddress, settings: NbdSettings, mode: CacheMode): Promise<ExportFile> {
    const file = address.name;
    try {
      const connections = await WriteConnections.open(address, settings, [BASE_ALLOCATION]);
      const { isReadOnly, size } = connections.facts;
      if (!isReadOnly && Number.isSafeInteger(size)) return new ExportFile(address, mode, connections);
      connections.close();
      if (!isReadOnly) throw new NbdFailure('broken', `it ${TOO_LARGE}`);
      throw new NbdFailure('refused', 'the export is read-only', { code: 'EROFS' });
    } catch (error) {
      if (!(error instanceof NbdFailure)) throw error;
      throw nbdError(`Could not open ${quoted(file)} for writing`, error, { file });
    }
  }

  private constructor(address: NbdAddress, mode: CacheMode, connections: WriteConnections) {
    const { name } = address;
    this.name = name;
    this.identity = exportIdentity(address);
    this.connection = connections.first;
    this.cacheMode = mode;
    this.#requests = new ExportRequests(name, mode, connections);
    this.#zeros = new ExportZeros(this.#requests, (offset, zeros) => this.write(offset, [zeros]));
  }

  /** Bytes of the export. */
  get size(): number {
    return this.#requests.facts.size;
  }

  /** Whether the server can be asked to make writes durable. */
  get canBeDurable(): boolean {
    const { canFlush, canForce } = this.#requests.writeFacts;
    return canFlush || canForce;
  }

  get alignment(): number {
    return Math.min(this.#requests.facts.minimumBlock, LARGEST_ALIGNMENT);
  }

  get writeCalls(): number {
    return this.#requests.writeCalls;
  }

  get writtenBytes(): number {
    return this.#requests.writtenBytes;
  }

  limitRate(limit: RateLimit, signal?: AbortSignal): void {
    this.#limit = limit;
    if (signal !== undefined) this.#hurry = AbortSignal.any([this.#closing.signal, signal]);
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const length = buffers.reduce((sum, buffer) => sum + buffer.length, 0);
    if (this.#limit !== undefined) await this.#limit.admit(length, this.#hurry);
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
    const cause = Object.assign(new Error('No space left on device'), { code: 'ENOSPC' });
    throw pastCapacity(this.name, size, offset, bytes.length, cause);
  }

  /** Writes bytes inside the export. */
  async #put(offset: number, bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    const { minimumBlock, size } = this.#requests.facts;
    const from = roundDown(offset, minimumBlock);
    const to = Math.min(roundUp(offset + bytes.length, minimumBlock), size);
    if (to - from === bytes.length) return this.#requests.write(offset, bytes);
    const turn = this.#lastPartial.then(async () => {
      const blocks = new Uint8Array(to - from);
      await this.#requests.read(from, blocks.subarray(0, minimumBlock));
      const last = roundDown(blocks.length - 1, minimumBlock);
      if (last > 0) await this.#requests.read(from + last, blocks.subarray(last));
      blocks.set(bytes, offset - from);
      await this.#requests.write(from, blocks);
    });
    this.#lastPartial = turn.catch(() => {});
    return turn;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    const read = blockRead(this.#requests.facts, offset, into);
    if (read === undefined) return 0;
    await this.#requests.read(read.from, read.blocks);
    return read.finish();
  }

  sync(): Promise<void> {
    return this.#requests.sync();
  }

  /** @returns true: every server can be made to hold zeros */
  async punch(offset: number, length: number): Promise<boolean> {
    const { minimumBlock, size } = this.#requests.facts;
    const end = Math.min(offset + length, size);
    const from = Math.min(roundUp(offset, minimumBlock), end);
    const to = end === size ? end : Math.max(roundDown(end, minimumBlock), from);
    await this.#zeros.write(offset, from);
    await this.#zeros.makeBlocks(from, to);
    await this.#zeros.write(to, end);
    return true;
  }

  async allocate(): Promise<void> {
    throw internalError('an export cannot be preallocated', { file: this.name });
  }

  /** Ends all connections; requests under way fail. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#requests.close();
  }
}
