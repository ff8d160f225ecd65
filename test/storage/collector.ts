/** Writable streams for tests: one that keeps what it gets, and one that takes a piece and no more. */
import { Writable } from 'node:stream';

export class Collector extends Writable {
  #chunks: Buffer[] = [];

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.#chunks.push(chunk);
    done();
  }

  get bytes(): Buffer {
    const all = Buffer.concat(this.#chunks);
    this.#chunks = [all];
    return all;
  }
}

export class Stuck extends Writable {
  /** Takes the piece. */
  release = () => {};
  bytes = 0;

  override _write(chunk: Buffer, _: string, done: () => void): void {
    this.bytes += chunk.length;
    this.release = done;
  }
}
