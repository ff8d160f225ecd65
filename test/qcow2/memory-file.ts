/** A file in memory for readers of tables: returns fewer bytes at its end, and records its reads. */
import { readFileSync } from 'node:fs';
import type { Storage } from '../../src/storage/storage.js';

export class MemoryFile implements Pick<Storage, 'name' | 'read'> {
  readonly name = 'x.qcow2';
  readonly bytes: Buffer;
  readonly reads: { readonly offset: number; readonly length: number }[] = [];
  /** The length of the file: zeros follow the bytes. */
  readonly length: number;

  constructor(bytes: Uint8Array, length = bytes.length) {
    this.bytes = Buffer.from(bytes);
    this.length = length;
  }

  static of(file: string): MemoryFile {
    return new MemoryFile(readFileSync(file));
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    this.reads.push({ offset, length: into.length });
    const found = Math.max(0, Math.min(into.length, this.length - offset));
    into.fill(0, 0, found);
    into.set(this.bytes.subarray(offset, offset + found));
    return found;
  }
}
