/**
 * A raw disk that is read once, from start to end: from an open descriptor, usually standard input, or from a Readable.
 * The main thread reads it into memory that it shares with the workers.
 */
import * as fs from 'node:fs';
import type { Readable } from 'node:stream';
import { isatty } from 'node:tty';
import { ioError, Qcow2cError, quoted } from '../errors.js';
import { positionOf } from '../system/descriptor-facts.js';
import { FileReader } from './descriptor-reader.js';
import { PipeReader } from './pipe-reader.js';
import { ReadableReader } from './readable-reader.js';

/** A descriptor or a Readable, and its name for messages. */
interface NamedStream {
  readonly stream: number | Readable;
  readonly name: string;
}

export class StreamSource {
  readonly name: string;
  /** Bytes left in a file, if known. */
  readonly total: number | undefined;
  readonly #reader: PipeReader | FileReader | ReadableReader;
  /** Position of the first byte in the file. */
  readonly #start: number;
  /** Bytes that `peek` has read and `fill` has not returned yet. */
  #head: Uint8Array = new Uint8Array(0);

  /**
   * @param stream a descriptor is closed with the source, unless it is standard input, output or error; a Readable
   *   is not destroyed
   * @throws Qcow2cError ERR_UNSUPPORTED for a terminal or directory; ERR_IO when the descriptor is not open; ERR_USAGE
   *   for a Readable that cannot be read from its start
   */
  static open({ stream, name }: NamedStream): StreamSource {
    if (typeof stream !== 'number')
      return new StreamSource(name, undefined, new ReadableReader(stream, name), 0);
    try {
      const stats = fs.fstatSync(stream);
      const found = stats.isDirectory() ? 'a directory' : isatty(stream) ? 'a terminal' : undefined;
      if (found !== undefined) throw notADisk(name, found);
      const isPipe = stats.isFIFO() || stats.isSocket();
      const start = stats.isFile() ? positionOf(stream) : undefined;
      const total = start === undefined ? undefined : Math.max(0, stats.size - start);
      return new StreamSource(
        name,
        total,
        isPipe ? new PipeReader(stream) : new FileReader(stream),
        start ?? 0,
      );
    } catch (error) {
      if (error instanceof Qcow2cError) throw error;
      throw ioError(`Could not read ${quoted(name)}`, error, { file: name });
    }
  }

  private constructor(
    name: string,
    total: number | undefined,
    reader: PipeReader | FileReader | ReadableReader,
    start: number,
  ) {
    this.name = name;
    this.total = total;
    this.#reader = reader;
    this.#start = start;
  }

  /**
   * Reads the first bytes of the stream without consuming them. Call it before the first `fill`.
   * @returns `length` bytes, or fewer when the stream has no more
   * @throws Qcow2cError as `fill`
   */
  async peek(length: number): Promise<Uint8Array> {
    const memory = new Uint8Array(length);
    this.#head = memory.subarray(0, await this.#read(memory));
    return this.#head.slice();
  }

  /**
   * Fills `memory` with the next bytes of the stream. Only one call may be pending.
   * @returns bytes read; fewer than `memory` takes only at the end of the stream, then always 0
   * @throws Qcow2cError ERR_IO; ERR_ABORTED once the source is closed
   */
  async fill(memory: Uint8Array): Promise<number> {
    const head = this.#head.subarray(0, memory.length);
    memory.set(head);
    this.#head = this.#head.subarray(head.length);
    return head.length + (await this.#read(memory.subarray(head.length)));
  }

  async #read(memory: Uint8Array): Promise<number> {
    try {
      return await this.#reader.fill(memory);
    } catch (error) {
      if (error instanceof Qcow2cError) throw error;
      const offset = this.#start + this.#reader.received;
      const what = `Could not read ${quoted(this.name)} at offset ${offset}`;
      throw ioError(what, error, { file: this.name, offset });
    }
  }

  /** Makes a pending `fill` fail with ERR_ABORTED, even if the stream's writer is silent. */
  async close(): Promise<void> {
    await this.#reader.close();
  }
}

function notADisk(name: string, found: string): Qcow2cError {
  const expected = 'a pipe, file or device';
  return new Qcow2cError(
    'ERR_UNSUPPORTED',
    `Could not read ${quoted(name)}: a raw disk from ${expected} was expected, but it is ${found}`,
    { file: name, expected, found },
  );
}
