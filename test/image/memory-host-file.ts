/** A file in memory that contains an image: its bytes, its holes, and the number of reads. */
import type { HostFile, MappedRange } from '../../src/image/source.js';

export class MemoryHostFile implements HostFile {
  readonly name: string;
  readonly descriptor: number;
  readonly bytes: Buffer;
  /** A multiple of 512. */
  readonly size: number;
  /** Offsets of all reads. */
  readonly reads: number[] = [];
  refused = 0;
  closed = 0;
  readonly #holes: readonly (readonly [from: number, to: number])[];

  /**
   * @param holes ranges of the file that its map shows as zeros, ascending
   * @param size if larger than the bytes, zeros follow them
   */
  constructor(
    name: string,
    bytes: Buffer,
    descriptor = 5,
    holes: readonly (readonly [from: number, to: number])[] = [],
    size = Math.ceil(bytes.length / 512) * 512,
  ) {
    this.name = name;
    this.bytes = bytes;
    this.descriptor = descriptor;
    this.size = size;
    this.#holes = holes;
  }

  async map(offset: number): Promise<MappedRange> {
    if (!(offset >= 0 && offset < this.size)) throw new Error(`map(${offset}) of ${this.size} bytes`);
    const hole = this.#holes.find(([from, to]) => offset >= from && offset < to);
    if (hole !== undefined) return { kind: 'zero', length: Math.min(hole[1], this.size) - offset };
    const next = this.#holes.find(([from]) => from > offset)?.[0] ?? this.size;
    const length = Math.min(next, this.size) - offset;
    return { kind: 'data', length, descriptor: this.descriptor, offset };
  }

  /** The kind of one sector in the map. */
  sectorAt(offset: number) {
    const isHole = this.#holes.some(([from, to]) => offset >= from && offset < to);
    return isHole
      ? ({ kind: 'zero' } as const)
      : ({ kind: 'data', descriptor: this.descriptor, offset } as const);
  }

  async read(offset: number, into: Uint8Array): Promise<number> {
    this.reads.push(offset);
    const found = Math.max(0, Math.min(into.length, this.size - offset));
    into.fill(0, 0, found);
    into.set(this.bytes.subarray(offset, offset + found));
    return found;
  }

  fileOf(descriptor: number): string | undefined {
    return descriptor === this.descriptor ? this.name : undefined;
  }

  async refuseChanges(): Promise<void> {
    this.refused += 1;
  }

  async close(): Promise<void> {
    this.closed += 1;
  }
}
