/**
 * Makes mutants of valid images: one to four changes of values that a reader has to trust or to bound. The seed and the
 * mutant's number alone determine an image, and can be kept as a recipe.
 */
import {
  BACKING_FORMAT,
  COMPRESSED,
  DATA_FILE,
  descriptorOffsetBits,
  extensionsOf,
  type Field,
  type ImageSites,
  type Stretch,
} from './image-sites.js';
import type { Random } from './random.js';

/** A file of a base image: relative to the directory of all of them. */
export interface BaseFile {
  readonly name: string;
  readonly bytes: Buffer;
  /** Undefined for a raw disk. */
  readonly sites: ImageSites | undefined;
}

/** One change of one file; `length` is that of the file afterwards, in bytes. */
export type Mutation =
  | { readonly file: string; readonly what: string; readonly at: number; readonly hex: string }
  | { readonly file: string; readonly what: string; readonly length: number };

/** Most bytes that a mutation appends or copies. */
const MOST_BYTES = 4096;
/** Bits that change the meaning of entries, descriptors and feature fields. */
const SPECIAL_BITS = [0, 1, 8, 9, 53, 55, 56, 61, 62, 63];

/**
 * @param files of the base, the topmost image first
 * @param lure a file that no image may lead to unasked, as a name in an image
 * @returns one to four changes; they may touch the same bytes
 */
export function mutate(files: readonly BaseFile[], lure: string, random: Random): readonly Mutation[] {
  const count = random.weighed([
    [5, 1],
    [3, 2],
    [1, 3],
    [1, 4],
  ]);
  return Array.from({ length: count }, () => {
    const file = files.length === 1 || random.chance(0.7) ? files[0]! : random.pick(files);
    const others = files.filter((other) => other !== file).map(({ name }) => name);
    return new FileMutator(file, [...others, file.name], lure, random).mutation();
  });
}

class FileMutator {
  readonly #file: BaseFile;
  readonly #known: readonly string[];
  readonly #lure: string;
  readonly #random: Random;

  constructor(file: BaseFile, known: readonly string[], lure: string, random: Random) {
    this.#file = file;
    this.#known = known;
    this.#lure = lure;
    this.#random = random;
  }

  mutation(): Mutation {
    const { sites } = this.#file;
    if (sites === undefined) return this.#random.chance(0.7) ? this.#resize() : this.#anyBytes();
    // As often as they are, but a kind with thousands of sites no more than one with ten.
    const kinds = [...sites.fields].map(([kind, { length }]) => [kindWeight(kind, length), kind] as const);
    return this.#random.weighed<() => Mutation>([
      [55, () => this.#number(this.#random.pick(sites.fields.get(this.#random.weighed(kinds))!), sites)],
      [10, () => this.#payload(sites)],
      [8, () => this.#name(sites)],
      [3, () => this.#newExtension(sites)],
      [6, () => this.#swap(sites)],
      [5, () => this.#copy(sites)],
      [9, () => this.#resize()],
      [4, () => this.#anyBytes()],
    ])();
  }

  #patch(what: string, at: number, bytes: Buffer): Mutation {
    return { file: this.#file.name, what, at, hex: bytes.toString('hex') };
  }

  #number({ kind, at, width }: Field, sites: ImageSites): Mutation {
    const old = read(this.#file.bytes, at, width);
    const value = BigInt.asUintN(width * 8, this.#valueFor(kind, old, width, sites));
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64BE(value);
    return this.#patch(
      `${kind} 0x${old.toString(16)} -> 0x${value.toString(16)}`,
      at,
      bytes.subarray(8 - width),
    );
  }

  #valueFor(kind: string, old: bigint, width: number, sites: ImageSites): bigint {
    const random = this.#random;
    const cluster = 1n << BigInt(sites.clusterBits);
    const size = BigInt(this.#file.bytes.length);
    const bits = width * 8;
    if (kind === 'descriptor' && random.chance(0.6)) return this.#descriptor(old, sites);
    if (kind === 'subcluster bitmap' && random.chance(0.5)) return random.u64() & random.u64();
    return random.weighed<() => bigint>([
      [5, () => random.pick([0n, 1n, 2n, 3n, 4n, 8n, 9n, 16n, 21n, 22n, 31n, 64n])],
      [6, () => old + random.pick([-1n, 1n, -8n, 8n, -512n, 512n, -cluster, cluster, -7n, 7n, 64n])],
      [3, () => random.pick([old * 2n, old / 2n, -old, ~old])],
      [3, () => (1n << BigInt(random.below(bits))) - BigInt(random.below(3) - 1)],
      [
        3,
        () => random.pick([0xffffn, 0x7fffffffn, 0xffffffffn, (1n << 53n) - 1n, 1n << 53n, -1n, 1n << 63n]),
      ],
      [
        4,
        () => (size / cluster + BigInt(random.below(3) - 1)) * cluster + random.pick([0n, 0n, -512n, 512n]),
      ],
      // The value of another structure: tables that overlap, clusters that are shared.
      [5, () => (old & ~0x00ff_ffff_ffff_fe00n) | BigInt(this.#anyStretch(sites)?.at ?? 0)],
      [5, () => old ^ (1n << BigInt(random.pick([random.below(bits), random.pick(SPECIAL_BITS) % bits])))],
      [2, () => random.u64()],
    ])();
  }

  /** Another payload, or more or fewer bytes of it, past the end of the file or inside a table. */
  #descriptor(old: bigint, sites: ImageSites): bigint {
    const random = this.#random;
    const offsetBits = descriptorOffsetBits(sites.clusterBits);
    const mostSectors = (1n << (62n - offsetBits)) - 1n;
    let offset = old & ((1n << offsetBits) - 1n);
    let sectors = (old & (COMPRESSED - 1n)) >> offsetBits;
    if (random.chance(0.5)) {
      sectors = random.pick([
        0n,
        1n,
        sectors - 1n,
        sectors + 1n,
        sectors / 2n,
        mostSectors,
        mostSectors - 1n,
      ]);
    } else {
      const size = BigInt(this.#file.bytes.length);
      const other = BigInt(this.#anyStretch(sites)?.at ?? 0);
      offset = random.pick([
        offset - 1n,
        offset + 1n,
        offset + 512n,
        size - 1n,
        size,
        size + 1n,
        other,
        other + 1n,
        0n,
      ]);
      if (random.chance(0.1)) offset = (1n << offsetBits) - 1n - BigInt(random.below(1024));
    }
    const clamp = (value: bigint, most: bigint) => (value < 0n ? 0n : value > most ? most : value);
    return COMPRESSED | (clamp(sectors, mostSectors) << offsetBits) | clamp(offset, (1n << offsetBits) - 1n);
  }

  #anyStretch(sites: ImageSites, ...kinds: readonly string[]): Stretch | undefined {
    const there = [...sites.stretches.keys()].filter((kind) => kinds.length === 0 || kinds.includes(kind));
    return there.length === 0 ? undefined : this.#random.pick(sites.stretches.get(this.#random.pick(there))!);
  }

  #payload(sites: ImageSites): Mutation {
    const payload = this.#anyStretch(sites, 'payload');
    if (payload === undefined) return this.#anyBytes();
    const random = this.#random;
    const { bytes } = this.#file;
    // The start of a payload holds its block header or its frame header.
    const length = Math.max(1, Math.min(payload.length, bytes.length - payload.at));
    const at = payload.at + (random.chance(0.5) ? random.below(Math.min(16, length)) : random.below(length));
    if (random.chance(0.2)) {
      const cleared = Math.min(1 + random.below(64), payload.at + length - at);
      return this.#patch('payload: zeros', at, Buffer.alloc(cleared));
    }
    return this.#patch('payload: a bit', at, Buffer.from([(bytes[at] ?? 0) ^ (1 << random.below(8))]));
  }

  #name(sites: ImageSites): Mutation {
    const random = this.#random;
    const place = this.#anyStretch(
      sites,
      'backing name',
      'backing format',
      'data file name',
      'snapshot name',
      'bitmap name',
    );
    if (place === undefined || random.chance(0.2)) return this.#newBackingName(sites);
    if (random.chance(0.3)) {
      const at = place.at + random.below(Math.max(1, place.length));
      return this.#patch(`${place.kind}: a byte`, at, random.bytes(1));
    }
    // The length stays: a shorter name ends at a NUL, a longer one overwrites the following bytes.
    const text = place.kind === 'backing format' ? random.pick(FORMATS) : this.#anyName();
    const bytes = Buffer.from(`${text}\0`);
    const cut = random.chance(0.7) ? bytes.subarray(0, place.length) : bytes;
    return this.#patch(`${place.kind}: ${JSON.stringify(text)}`, place.at, cut);
  }

  #anyName(): string {
    const random = this.#random;
    const known = random.pick(this.#known).split('/').at(-1)!;
    return random.pick([
      this.#lure,
      `../${this.#lure}`,
      `/${this.#lure}`,
      known,
      known,
      `./${known}`,
      `file:${known}`,
      ...NAMES,
    ]);
  }

  /** A backing file for an image, whether it had one or not: offset, length and name at the end of its first cluster. */
  #newBackingName(sites: ImageSites): Mutation {
    const header = Buffer.from(this.#file.bytes.subarray(0, Math.min(2 ** sites.clusterBits, MOST_BYTES)));
    const name = this.#anyName();
    const length = Buffer.byteLength(name);
    const at = header.length - length;
    if (at < 256) return this.#resize();
    header.writeBigUInt64BE(BigInt(at), 8);
    header.writeUInt32BE(length, 16);
    header.write(name, at);
    return this.#patch(`new backing name ${JSON.stringify(name)}`, 0, header);
  }

  /** One more extension in front of the end mark. */
  #newExtension(sites: ImageSites): Mutation {
    const random = this.#random;
    const end = extensionsOf(this.#file.bytes).at(-1);
    if (end === undefined || end.at + 128 > 2 ** sites.clusterBits) return this.#resize();
    const type = random.pick([BACKING_FORMAT, DATA_FILE, 0x23852875, 0x6803f857, 0x0537be77, random.next()]);
    const text = random.pick([...FORMATS, this.#anyName()]);
    const data = random.chance(0.5) ? Buffer.from(text) : random.bytes(random.below(48));
    const bytes = Buffer.alloc(16 + Math.ceil(data.length / 8) * 8);
    bytes.writeUInt32BE(type, 0);
    bytes.writeUInt32BE(data.length, 4);
    data.copy(bytes, 8);
    return this.#patch(
      `new extension 0x${type.toString(16)}: ${JSON.stringify(data.toString('latin1'))}`,
      end.at,
      bytes,
    );
  }

  /** An entry of a table in another's place. */
  #swap(sites: ImageSites): Mutation {
    const random = this.#random;
    const fields = [...sites.fields.values()].flatMap((list) =>
      list[0]!.width === 8 ? [random.pick(list)] : [],
    );
    const [from, to] = [random.pick(fields), random.pick(fields)];
    const bytes = Buffer.from(this.#file.bytes.subarray(from.at, from.at + 8));
    return this.#patch(`${to.kind} <- ${from.kind} of offset ${from.at}`, to.at, bytes);
  }

  /** What one place holds, copied to another: a table over a table, a payload over a table. */
  #copy(sites: ImageSites): Mutation {
    const [from, to] = [this.#anyStretch(sites), this.#anyStretch(sites)];
    if (from === undefined || to === undefined) return this.#resize();
    const { bytes } = this.#file;
    const length = Math.min(from.length, to.length, MOST_BYTES);
    const copied = Buffer.from(bytes.subarray(from.at, from.at + length));
    return this.#patch(`${to.kind} <- ${from.kind} of offset ${from.at}`, to.at, copied);
  }

  #resize(): Mutation {
    const random = this.#random;
    const { name: file, bytes, sites } = this.#file;
    const stretch = sites && this.#anyStretch(sites);
    const length = random.weighed<() => number>([
      [2, () => random.below(bytes.length)],
      [2, () => bytes.length - 1 - random.below(Math.min(bytes.length, 4096))],
      [1, () => random.below(Math.min(bytes.length, 640))],
      [4, () => (stretch === undefined ? 512 : stretch.at + random.below(stretch.length + 1))],
      [1, () => bytes.length + 1 + random.below(70_000)],
    ])();
    if (length > bytes.length && random.chance(0.5)) {
      return this.#patch(
        'garbage after the end',
        bytes.length,
        random.bytes(Math.min(length - bytes.length, 700)),
      );
    }
    return { file, what: `length ${bytes.length} -> ${length}`, length };
  }

  #anyBytes(): Mutation {
    const random = this.#random;
    const { length } = this.#file.bytes;
    const at = random.below(random.chance(0.5) ? Math.min(length, 1024) : length);
    return this.#patch('any bytes', at, random.bytes(1 + random.below(8)));
  }
}

const FORMATS = ['raw', 'qcow2', 'vmdk', 'luks', '', 'a format whose name is longer than any'];
const NAMES = [
  '',
  '.',
  '/',
  '/dev/null',
  '/dev/zero',
  'nothing',
  'nbd:unix:/nothing',
  'json:{}',
  'json:{"driver":"raw","file":{"driver":"file","filename":"nothing"}}',
  'fat:/nothing',
  '\u{1f4be}',
  'a\nb',
  'x'.repeat(300),
];

/** Kinds that matter most to a reader come more often than the rest. */
function kindWeight(kind: string, sites: number): number {
  const share = kind.startsWith('header') || kind.startsWith('extension') ? 1 : 3;
  return share * Math.min(6, Math.ceil(Math.log2(sites + 1)));
}

function read(bytes: Buffer, at: number, width: number): bigint {
  return BigInt(`0x${bytes.toString('hex', at, at + width)}`);
}
