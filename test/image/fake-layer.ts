/** A layer made of given ranges of every kind. It records the calls it gets. */
import fc from 'fast-check';
import { Qcow2cError } from '../../src/errors.js';
import type { Layer, LayerRange, MappedRange } from '../../src/image/source.js';

/** A range of one kind, in bytes. */
export interface LayerStretch<Kind = LayerRange['kind']> {
  readonly kind: Kind;
  readonly length: number;
  /** Of a compressed stretch; the last cluster may go past its end. Default: it is one cluster. */
  readonly clusterSize?: number | undefined;
}

/** File offset of the data minus its guest offset. */
const DATA_SHIFT = 1000;

export class FakeLayer<Range extends LayerRange = LayerRange> implements Layer {
  readonly name: string;
  readonly size: number;
  readonly descriptor: number;
  /** Offsets passed to `map`. */
  readonly asked: number[] = [];
  refused = 0;
  closed = 0;
  readonly #stretches: readonly (LayerStretch & { readonly start: number })[];

  /** @param stretches the disk from its first byte to its last */
  constructor(name: string, stretches: readonly LayerStretch<Range['kind']>[], descriptor = 77) {
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

  async map(offset: number): Promise<Range> {
    this.asked.push(offset);
    const found = this.#stretches.find(({ start, length }) => offset >= start && offset < start + length);
    if (found === undefined) throw new Error(`map(${offset}) of a layer of ${this.size} bytes`);
    return this.#rangeOf(found, offset) as Range;
  }

  #rangeOf(
    { kind, start, length: whole, clusterSize = whole }: LayerStretch & { readonly start: number },
    offset: number,
  ) {
    const length = start + whole - offset;
    const { descriptor } = this;
    switch (kind) {
      case 'data':
        return { kind, length, descriptor, offset: offset + DATA_SHIFT };
      case 'compressed': {
        const clusters = Array.from({ length: Math.ceil(whole / clusterSize) }, (_, index) => index);
        const places = clusters.flatMap((index) => [start + DATA_SHIFT + index, 512]);
        return {
          ...{ kind, length, payloads: { type: 'zlib', descriptor, clusterSize, places } },
          skip: offset - start,
        };
      }
      case 'unreadable':
        return { kind, length, error: unreadable(this.name, start) };
      default:
        return { kind, length };
    }
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

/** The error of an unreadable range. */
export function unreadable(file: string, offset: number): Qcow2cError {
  return new Qcow2cError('ERR_CORRUPT', `'${file}' is broken`, { file, offset });
}

/** The meaning of one byte of a map: `undefined` is zero, data is a file and an offset in it. */
type ByteMeaning = 'zero' | 'unallocated' | string;

/** Equal for ranges that show the same bytes. @param bytes from the range's start */
export function meaningOf(range: LayerRange, bytes: number): ByteMeaning {
  switch (range.kind) {
    case 'data':
      return `data ${range.descriptor}:${range.offset + bytes}`;
    case 'compressed': {
      const { descriptor, clusterSize, places } = range.payloads;
      const at = range.skip + bytes;
      const [offset, storedLength] = places.slice(2 * Math.floor(at / clusterSize));
      return `compressed ${descriptor}:${offset}+${storedLength}, byte ${at % clusterSize} of ${clusterSize}`;
    }
    case 'unreadable':
      return `unreadable ${range.error.file}:${range.error.offset}`;
    default:
      return range.kind;
  }
}

/** A disk of ranges of these kinds, some of them long. */
export function stretchesOf<Kind extends LayerRange['kind']>(kinds: readonly Kind[], most = 40) {
  return fc.array(
    fc.record({
      kind: fc.constantFrom(...kinds),
      length: fc.oneof(
        fc.integer({ min: 1, max: 9 }),
        fc.constantFrom(16, 32),
        fc.integer({ min: 1, max: most }),
      ),
      clusterSize: fc.constantFrom(undefined, 4, 16),
    }),
    { maxLength: 10 },
  );
}

/** The meaning of every byte of a source, from start to end. */
export async function meaningsOf(source: {
  readonly size: number;
  map(offset: number): Promise<MappedRange | LayerRange>;
}): Promise<ByteMeaning[]> {
  const meanings: ByteMeaning[] = [];
  while (meanings.length < source.size) {
    const range = await source.map(meanings.length);
    if (range.length < 1 || meanings.length + range.length > source.size)
      throw new Error(`${range.length} bytes at ${meanings.length}`);
    meanings.push(...Array.from({ length: range.length }, (_, bytes) => meaningOf(range, bytes)));
  }
  return meanings;
}
