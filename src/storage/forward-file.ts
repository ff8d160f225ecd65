/** The file of a target that is written from start to end, or not at all. It is never read back and has no holes. */
import { internalError } from '../errors.js';
import type { OutputStream } from './output-stream.js';
import type { RateLimit } from './rate-limit.js';
import type { WriteKind } from './storage.js';
import type { Target, TargetFile } from './target.js';

export abstract class ForwardFile implements TargetFile {
  readonly name: string;
  readonly alignment: number;
  readonly cacheMode = undefined;
  readonly directRefused = undefined;
  readonly #stream: OutputStream | undefined;

  /** @param alignment bytes to which writes are padded @param stream undefined: nothing is written */
  constructor(name: string, alignment: number, stream: OutputStream | undefined) {
    this.name = name;
    this.alignment = alignment;
    this.#stream = stream;
  }

  get writeCalls(): number {
    return this.#stream?.writeCalls ?? 0;
  }

  get writtenBytes(): number {
    return this.#stream?.writtenBytes ?? 0;
  }

  abstract write(offset: number, buffers: readonly Uint8Array[], kind?: WriteKind): Promise<void>;

  /** Writes the rest of the output. @param length of the output, in bytes */
  abstract complete(length: number): Promise<void>;

  /** Never called: a new image is not read back. */
  async read(offset: number): Promise<number> {
    throw internalError(`a read at offset ${offset} of an output that is only written`);
  }

  /** A stream cannot have holes. @returns false */
  async punch(): Promise<boolean> {
    return false;
  }

  limitRate(limit: RateLimit): void {
    this.#stream?.limitRate(limit);
  }

  async allocate(): Promise<void> {}
  async sync(): Promise<void> {}
  async close(): Promise<void> {}
}

/** @param kind of the target @returns a target that does not close the stream after an error: the caller does */
export function forwardTarget(file: ForwardFile, kind: 'stream' | 'null'): Target {
  return {
    file,
    path: file.name,
    kind,
    existingSize: 0,
    notices: [],
    keepLength: () => {},
    seal: async () => {},
    commit: (length) => file.complete(length),
    discard: async () => {},
  };
}
