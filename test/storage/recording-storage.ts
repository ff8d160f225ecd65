/**
 * A storage in memory that records all calls and checks them: every write aligned in offset, length and memory address,
 * no two writes in flight in one aligned block, no buffer changed during its write, nothing read back. Writes can be
 * held, fail at any number, or be short.
 */
import koffi from 'koffi';
import { afterEach, expect } from 'vitest';
import { roundDown, roundUp } from '../../src/arithmetic.js';
import type { SparseStorage } from '../../src/storage/storage.js';

/** Bytes of a page of the content. */
const PAGE = 65536;

export interface RecordedWrite {
  readonly offset: number;
  readonly length: number;
  readonly buffers: readonly { readonly address: bigint; readonly length: number }[];
  /** The bytes as they were when the write began. */
  readonly bytes: Uint8Array;
  state: 'under way' | 'done' | 'failed';
}

interface RecordedHole {
  readonly offset: number;
  readonly length: number;
}

/** A failure to inject: the first `taken` bytes still reach the storage. */
export interface Failure {
  readonly error: Error;
  readonly taken: number;
}

interface RecordingOptions {
  readonly alignment?: number | undefined;
  /** Value of bytes that were never written: a device is not full of zeros. Default 0. */
  readonly background?: number | undefined;
  /** Bytes of the device: no write may pass its end. A file has no such end. */
  readonly deviceSize?: number | undefined;
  /** Awaited by every read and write before it takes effect. */
  readonly delay?: (() => Promise<unknown>) | undefined;
}

export class RecordingStorage implements SparseStorage {
  readonly name = 'recording';
  /** May be set at any time, as a fallback to buffered I/O does. */
  alignment: number;
  /** Every write that reached the storage, in the order in which they began. */
  readonly writes: RecordedWrite[] = [];
  readonly reads: { readonly offset: number; readonly length: number }[] = [];
  /** Every range that was to become a hole, refused or not. */
  readonly punches: RecordedHole[] = [];
  syncs = 0;
  /** Calls that no caller may make. */
  readonly violations: string[] = [];
  /** Set it when the test itself reads; otherwise a read is a violation. */
  readsExpected = false;
  /** The file's length in bytes: reads come short at it. */
  size = 0;
  /** Decides when a write begins whether it will fail. `index` counts from 0. */
  failWhen: ((write: RecordedWrite, index: number) => Failure | undefined) | undefined;
  /** Decides whether a hole can be made. `index` counts from 0. */
  refusesPunch: ((index: number) => boolean) | undefined;
  readonly #background: number;
  readonly #deviceSize: number | undefined;
  readonly #delay: (() => Promise<unknown>) | undefined;
  readonly #gates = new Map<RecordedWrite, (failure: Failure | undefined) => void>();
  #holding = false;
  /** By page number; pages without a write have the background value. */
  readonly #pages = new Map<number, Uint8Array>();

  constructor({ alignment = 4096, background = 0, deviceSize, delay }: RecordingOptions = {}) {
    this.#deviceSize = deviceSize;
    this.size = deviceSize ?? 0;
    this.alignment = alignment;
    this.#background = background;
    this.#delay = delay;
  }

  get underWay(): readonly RecordedWrite[] {
    return this.writes.filter(({ state }) => state === 'under way');
  }

  /** From now on, new writes wait until they are released. */
  hold(): void {
    this.#holding = true;
  }

  /** Lets a held write continue, or fail. */
  release(write: RecordedWrite | undefined, failure?: Failure): void {
    const open = write && this.#gates.get(write);
    if (write === undefined || open === undefined) throw new Error('there is no such held write');
    this.#gates.delete(write);
    open(failure);
  }

  /** Lets all held writes continue and holds no more. */
  releaseAll(): void {
    this.#holding = false;
    for (const write of [...this.#gates.keys()]) this.release(write);
  }

  /** Lets the write with this number (from 0) fail. */
  failNth(index: number, error: Error, taken = 0): void {
    this.failWhen = (_, at) => (at === index ? { error, taken } : undefined);
  }

  /** The content, also past the file's length. */
  bytes(offset: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const part = this.#page(offset + at).subarray(0, length - at);
      bytes.set(part, at);
      at += part.length;
    }
    return bytes;
  }

  /** Writes without the code under test. */
  preset(offset: number, bytes: Uint8Array): void {
    this.#store(offset, bytes);
  }

  async write(offset: number, buffers: readonly Uint8Array[]): Promise<void> {
    const write = this.#begin(offset, buffers);
    let failure = this.failWhen?.(write, this.writes.length - 1);
    const held = this.#holding
      ? new Promise<Failure | undefined>((resolve) => this.#gates.set(write, resolve))
      : undefined;
    await this.#delay?.();
    failure = (await held) ?? failure;
    if (Buffer.compare(Buffer.concat(buffers), write.bytes) !== 0) {
      this.#accuse(write, 'its buffers changed while it was under way');
    }
    write.state = failure === undefined ? 'done' : 'failed';
    this.#store(offset, write.bytes.subarray(0, failure?.taken ?? write.length));
    if (failure !== undefined) throw failure.error;
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    this.reads.push({ offset, length: into.length });
    if (!this.readsExpected) this.violations.push(`${into.length} bytes at ${offset} were read back`);
    this.#judge('read', [offset, into.length, Number(koffi.address(into) % BigInt(this.alignment))]);
    // The content when the read begins: it need not include a write that ends meanwhile.
    const count = Math.max(0, Math.min(into.length, this.size - offset));
    const bytes = this.bytes(offset, count);
    await this.#delay?.();
    into.set(bytes);
    return count;
  }

  async punch(offset: number, length: number): Promise<boolean> {
    this.punches.push({ offset, length });
    if (offset % 4096 !== 0 || length % 4096 !== 0 || length === 0) {
      this.violations.push(`a hole of ${length} bytes at ${offset} is none of whole blocks`);
    }
    for (const write of this.underWay) {
      if (write.offset < offset + length && offset < write.offset + write.length) {
        this.#accuse(write, `a hole of ${length} bytes at ${offset} takes its place`);
      }
    }
    const refused = this.refusesPunch?.(this.punches.length - 1) ?? false;
    await this.#delay?.();
    if (refused) return false;
    // Pages without a write need no zeros if the background is zero.
    for (let at = offset; at < Math.min(offset + length, this.size); at += PAGE - (at % PAGE)) {
      if (this.#background === 0 && !this.#pages.has(Math.floor(at / PAGE))) continue;
      this.#page(at).fill(0, 0, offset + length - at);
    }
    return true;
  }

  async sync(): Promise<void> {
    this.syncs += 1;
  }

  #begin(offset: number, buffers: readonly Uint8Array[]): RecordedWrite {
    const bytes = Buffer.concat(buffers);
    const write: RecordedWrite = {
      offset,
      length: bytes.length,
      buffers: buffers.map((buffer) => ({ address: koffi.address(buffer), length: buffer.length })),
      bytes,
      state: 'under way',
    };
    const end = offset + bytes.length;
    if (end > (this.#deviceSize ?? end)) this.#accuse(write, 'it goes past the end of the device');
    for (const { address, length } of write.buffers) {
      // The last sectors of a device are not a whole block.
      const rest = end === this.#deviceSize ? length % 512 : length;
      this.#judge('write', [offset, rest, Number(address % BigInt(this.alignment))]);
    }
    for (const other of this.underWay) {
      const unit = this.alignment;
      const from = Math.max(roundDown(offset, unit), roundDown(other.offset, unit));
      const to = Math.min(roundUp(offset + bytes.length, unit), roundUp(other.offset + other.length, unit));
      if (from < to) this.#accuse(write, `it shares a block with the one at ${other.offset} under way`);
    }
    this.writes.push(write);
    return write;
  }

  #judge(what: string, numbers: readonly number[]): void {
    if (numbers.some((number) => number % this.alignment !== 0)) {
      this.violations.push(`${what}: offset, length and address ${numbers.join(', ')} are not aligned`);
    }
  }

  #accuse({ offset, length }: RecordedWrite, what: string): void {
    this.violations.push(`the write of ${length} bytes at ${offset}: ${what}`);
  }

  #store(offset: number, bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const page = this.#page(offset + at);
      page.set(bytes.subarray(at, at + page.length));
      at += page.length;
    }
    this.size = Math.max(this.size, offset + bytes.length);
  }

  /** The rest of the page that contains `offset`, from there on. */
  #page(offset: number): Uint8Array {
    const number = Math.floor(offset / PAGE);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint8Array(PAGE).fill(this.#background);
      this.#pages.set(number, page);
    }
    return page.subarray(offset % PAGE);
  }
}

/**
 * Call it once at the top of a test file.
 * @returns a function that makes a storage; its violations are checked at the end of the test
 */
export function useRecordingStorage(): (options?: RecordingOptions) => RecordingStorage {
  const made: RecordingStorage[] = [];
  afterEach(() => {
    const violations = made.splice(0).flatMap((storage) => storage.violations);
    expect(violations).toEqual([]);
  });
  return (options) => {
    const storage = new RecordingStorage(options);
    made.push(storage);
    return storage;
  };
}

/** Bytes that differ from their neighbours, from those of another seed, and from 0. */
export function payload(length: number, seed = 1): Uint8Array {
  return Uint8Array.from({ length }, (_, index) => 1 + ((index * 31 + seed * 97) % 255));
}

/** The same as toEqual, without its element-by-element walk: for whole host clusters. */
export function expectSameBytes(found: Uint8Array, expected: Uint8Array): void {
  expect(found.length).toBe(expected.length);
  const at = found.findIndex((byte, index) => byte !== expected[index]);
  expect(at === -1 ? 'the same' : `at ${at}: ${found[at]} for ${expected[at]}`).toBe('the same');
}
