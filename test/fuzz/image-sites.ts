/**
 * The places of a valid image: every number of its tables and every stretch of bytes, by kind. Independent
 * of src, so that the mutator and the reader do not share their mistakes. Offsets and lengths in bytes.
 */

/** A number of the format. */
export interface Field {
  readonly kind: string;
  readonly at: number;
  readonly width: 1 | 2 | 4 | 8;
}

/** Bytes that belong together: a name, a payload, a table. */
export interface Stretch {
  readonly kind: string;
  readonly at: number;
  readonly length: number;
}

export interface ImageSites {
  readonly version: number;
  readonly clusterBits: number;
  readonly fields: ReadonlyMap<string, readonly Field[]>;
  readonly stretches: ReadonlyMap<string, readonly Stretch[]>;
}

/** Names in an image, as they stand there. */
interface ImageNames {
  readonly backing: string | undefined;
  readonly backingFormat: string | undefined;
  readonly dataFile: string | undefined;
}

export const COMPRESSED = 1n << 62n;
export const BACKING_FORMAT = 0xe2792aca;
export const DATA_FILE = 0x44415441;
const BITMAPS = 0x23852875;
const MAGIC = 0x514649fb;
const OFFSET_MASK = 0x00ff_ffff_ffff_fe00n;
/** Of the unused entries of a table only so many are sites. */
const UNUSED_ENTRIES = 24;

const HEADER_FIELDS: readonly (readonly [name: string, at: number, width: 4 | 8])[] = [
  ['version', 4, 4],
  ['backing_file_offset', 8, 8],
  ['backing_file_size', 16, 4],
  ['cluster_bits', 20, 4],
  ['size', 24, 8],
  ['crypt_method', 32, 4],
  ['l1_size', 36, 4],
  ['l1_table_offset', 40, 8],
  ['refcount_table_offset', 48, 8],
  ['refcount_table_clusters', 56, 4],
  ['nb_snapshots', 60, 4],
  ['snapshots_offset', 64, 8],
  ['incompatible_features', 72, 8],
  ['compatible_features', 80, 8],
  ['autoclear_features', 88, 8],
  ['refcount_order', 96, 4],
  ['header_length', 100, 4],
  ['compression_type', 104, 8],
];

/** The part of a compressed cluster descriptor that is its offset, in bits. */
export const descriptorOffsetBits = (clusterBits: number) => BigInt(62 - (clusterBits - 8));

/** @returns undefined for a file that is no qcow2 image */
export function locate(image: Buffer): ImageSites | undefined {
  if (image.length < 72 || image.readUInt32BE(0) !== MAGIC) return undefined;
  return new Locator(image).all();
}

class Locator {
  readonly #image: Buffer;
  readonly #fields = new Map<string, Field[]>();
  readonly #stretches = new Map<string, Stretch[]>();
  readonly #seen = new Set<number>();
  readonly #clusterBits: number;
  readonly #version: number;
  readonly #extendedL2: boolean;

  constructor(image: Buffer) {
    this.#image = image;
    this.#version = image.readUInt32BE(4);
    this.#clusterBits = image.readUInt32BE(20);
    this.#extendedL2 = this.#version === 3 && (image.readBigUInt64BE(72) & 16n) !== 0n;
  }

  all(): ImageSites {
    const image = this.#image;
    for (const [name, at, width] of HEADER_FIELDS) {
      if (this.#version === 3 || at < 72) this.#field(`header ${name}`, at, width);
    }
    this.#extensions();
    if (image.readBigUInt64BE(8) !== 0n) {
      this.#stretch('backing name', Number(image.readBigUInt64BE(8)), image.readUInt32BE(16));
    }
    this.#l1Table('L1 entry', Number(image.readBigUInt64BE(40)), image.readUInt32BE(36));
    this.#refcounts();
    this.#snapshots();
    return {
      version: this.#version,
      clusterBits: this.#clusterBits,
      fields: this.#fields,
      stretches: this.#stretches,
    };
  }

  #field(kind: string, at: number, width: Field['width']): void {
    if (at + width > this.#image.length) return;
    const known = this.#fields.get(kind);
    if (known === undefined) this.#fields.set(kind, [{ kind, at, width }]);
    else known.push({ kind, at, width });
  }

  #stretch(kind: string, at: number, length: number): void {
    const known = this.#stretches.get(kind);
    if (known === undefined) this.#stretches.set(kind, [{ kind, at, length }]);
    else known.push({ kind, at, length });
  }

  #extensions(): void {
    for (const { type, at, length } of extensionsOf(this.#image)) {
      this.#field('extension type', at, 4);
      this.#field('extension length', at + 4, 4);
      if (type === BACKING_FORMAT) this.#stretch('backing format', at + 8, length);
      else if (type === DATA_FILE) this.#stretch('data file name', at + 8, length);
      else if (type === BITMAPS) this.#bitmaps(at + 8);
    }
  }

  #entry(kind: string, at: number, unused: { left: number }): bigint {
    if (at + 8 > this.#image.length) return 0n;
    const raw = this.#image.readBigUInt64BE(at);
    if (raw !== 0n) this.#field(kind, at, 8);
    else if (unused.left > 0) {
      unused.left -= 1;
      this.#field(kind, at, 8);
    }
    return raw;
  }

  #l1Table(kind: string, offset: number, entries: number): void {
    const unused = { left: UNUSED_ENTRIES };
    if (entries > 0) this.#stretch('table', offset, entries * 8);
    for (let index = 0; index < entries; index += 1) {
      const table = Number(this.#entry(kind, offset + index * 8, unused) & OFFSET_MASK);
      if (table !== 0 && !this.#seen.has(table)) this.#l2Table(table);
    }
  }

  #l2Table(offset: number): void {
    const clusterSize = 2 ** this.#clusterBits;
    const entryBytes = this.#extendedL2 ? 16 : 8;
    const offsetBits = descriptorOffsetBits(this.#clusterBits);
    const unused = { left: UNUSED_ENTRIES };
    this.#seen.add(offset);
    this.#stretch('table', offset, clusterSize);
    for (let at = offset; at < offset + clusterSize; at += entryBytes) {
      const raw = at + 8 <= this.#image.length ? this.#image.readBigUInt64BE(at) : 0n;
      const isCompressed = (raw & COMPRESSED) !== 0n;
      if (this.#extendedL2 && unused.left > 0) this.#field('subcluster bitmap', at + 8, 8);
      this.#entry(isCompressed ? 'descriptor' : 'L2 entry', at, unused);
      if (isCompressed) {
        const payload = Number(raw & ((1n << offsetBits) - 1n));
        const sectors = 1 + Number((raw & (COMPRESSED - 1n)) >> offsetBits);
        this.#stretch('payload', payload, sectors * 512 - (payload % 512));
      } else if ((raw & OFFSET_MASK) !== 0n) {
        this.#stretch('cluster', Number(raw & OFFSET_MASK), clusterSize);
      }
    }
  }

  #refcounts(): void {
    const image = this.#image;
    const clusterSize = 2 ** this.#clusterBits;
    const offset = Number(image.readBigUInt64BE(48));
    const unused = { left: 4 };
    this.#stretch('table', offset, image.readUInt32BE(56) * clusterSize);
    for (let at = offset; at < offset + image.readUInt32BE(56) * clusterSize; at += 8) {
      const block = Number(this.#entry('refcount table entry', at, unused) & OFFSET_MASK);
      if (block !== 0) for (let part = 0; part < 64; part += 8) this.#field('refcounts', block + part, 8);
    }
  }

  #snapshots(): void {
    const image = this.#image;
    let at = Number(image.readBigUInt64BE(64));
    for (let left = image.readUInt32BE(60); left > 0; left -= 1) {
      const field = (name: string, from: number, width: Field['width']) =>
        this.#field(`snapshot ${name}`, at + from, width);
      field('l1_table_offset', 0, 8);
      field('l1_size', 8, 4);
      field('id_str_size', 12, 2);
      field('name_size', 14, 2);
      field('vm_state_size', 32, 4);
      field('extra_data_size', 36, 4);
      const extra = image.readUInt32BE(at + 36);
      if (extra >= 8) field('vm_state_size_large', 40, 8);
      if (extra >= 16) field('virtual_size', 48, 8);
      const names = image.readUInt16BE(at + 12) + image.readUInt16BE(at + 14);
      this.#stretch('snapshot name', at + 40 + extra, names);
      this.#l1Table('snapshot L1 entry', Number(image.readBigUInt64BE(at)), image.readUInt32BE(at + 8));
      at += Math.ceil((40 + extra + names) / 8) * 8;
    }
  }

  #bitmaps(extension: number): void {
    const image = this.#image;
    this.#field('bitmaps nb_bitmaps', extension, 4);
    this.#field('bitmaps reserved', extension + 4, 4);
    this.#field('bitmaps bitmap_directory_size', extension + 8, 8);
    this.#field('bitmaps bitmap_directory_offset', extension + 16, 8);
    let at = Number(image.readBigUInt64BE(extension + 16));
    for (let left = image.readUInt32BE(extension); left > 0; left -= 1) {
      const field = (name: string, from: number, width: Field['width']) =>
        this.#field(`bitmap ${name}`, at + from, width);
      field('bitmap_table_offset', 0, 8);
      field('bitmap_table_size', 8, 4);
      field('flags', 12, 4);
      field('type', 16, 1);
      field('granularity_bits', 17, 1);
      field('name_size', 18, 2);
      field('extra_data_size', 20, 4);
      const table = Number(image.readBigUInt64BE(at));
      const unused = { left: UNUSED_ENTRIES };
      for (let entry = 0; entry < image.readUInt32BE(at + 8); entry += 1) {
        this.#entry('bitmap table entry', table + entry * 8, unused);
      }
      const nameSize = image.readUInt16BE(at + 18);
      const extra = image.readUInt32BE(at + 20);
      this.#stretch('bitmap name', at + 24 + extra, nameSize);
      at += Math.ceil((24 + extra + nameSize) / 8) * 8;
    }
  }
}

/** The extensions as far as they can be followed, the end mark last. */
export function extensionsOf(image: Buffer): { type: number; at: number; length: number }[] {
  const found: { type: number; at: number; length: number }[] = [];
  const end = Math.min(image.length, 2 ** Math.min(21, image.readUInt32BE(20)));
  let at = image.readUInt32BE(4) === 2 ? 72 : image.readUInt32BE(100);
  while (at + 8 <= end) {
    const [type, length] = [image.readUInt32BE(at), image.readUInt32BE(at + 4)];
    found.push({ type, at, length });
    if (type === 0) break;
    at += 8 + Math.ceil(length / 8) * 8;
  }
  return found;
}

/** The names in a file that may have any content; unreadable ones are ignored. */
export function namesOf(image: Buffer): ImageNames {
  if (image.length < 112 || image.readUInt32BE(0) !== MAGIC) {
    return { backing: undefined, backingFormat: undefined, dataFile: undefined };
  }
  const text = (at: number, length: number) => {
    const bytes = image.subarray(at, at + length);
    const nul = bytes.indexOf(0);
    return (nul === -1 ? bytes : bytes.subarray(0, nul)).toString();
  };
  const nameAt = image.readBigUInt64BE(8);
  const extensions = extensionsOf(image);
  const named = (wanted: number) => {
    const extension = extensions.findLast(({ type }) => type === wanted);
    return extension && text(extension.at + 8, extension.length);
  };
  return {
    backing: nameAt > 0n && nameAt < 2n ** 21n ? text(Number(nameAt), image.readUInt32BE(16)) : undefined,
    backingFormat: named(BACKING_FORMAT),
    dataFile: named(DATA_FILE),
  };
}
