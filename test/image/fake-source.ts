/** A source made of stated ranges, that writes down what it is asked. */
import type { MappedRange, Source } from '../../src/image/source.js';

/** A stretch of one kind, in bytes. */
export interface Stretch {
  readonly kind: 'zero' | 'data';
  readonly length: number;
}

export class FakeSource implements Source {
  readonly name: string;
  readonly size: number;
  readonly descriptor: number;
  /** Offsets that `map` was asked for. */
  readonly asked: number[] = [];
  refused = 0;
  closed = 0;
  readonly #stretches: readonly (Stretch & { readonly start: number })[];

  /**
   * @param stretches the disk from its first byte to its last; data lies in the file 1000 bytes further on
   * @param descriptor never used for reading
   */
  constructor(name: string, stretches: readonly Stretch[], descriptor = 77) {
    let start = 0;
    this.#stretches = stretches.map((stretch) => {
      const placed = { ...stretch, start };
      start += stretch.length;
      return placed;
    });
    this.name = name;
    this.size = start;
    this.descriptor = descriptor;
  }

  async map(offset: number): Promise<MappedRange> {
    this.asked.push(offset);
    const found = this.#stretches.find(({ start, length }) => offset >= start && offset < start + length);
    if (found === undefined) throw new Error(`map(${offset}) of a source of ${this.size} bytes`);
    const length = found.start + found.length - offset;
    if (found.kind === 'zero') return { kind: 'zero', length };
    return { kind: 'data', length, descriptor: this.descriptor, offset: offset + 1000 };
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
