/** Images with one defect each, for tests of its effect. */
const COPIED = 1n << 63n;
const COMPRESSED = 1n << 62n;
const OFFSET = 0x00ff_ffff_ffff_fe00n;
/** Fields of the header. */
const CLUSTER_BITS_AT = 20;
const L1_OFFSET_AT = 40;
const REFCOUNT_TABLE_AT = 48;

interface Damage {
  readonly what: string;
  /** The generated image that is broken. */
  readonly image: string;
  /** Changes the file's bytes in place, or returns the remaining ones. */
  readonly apply: (bytes: Buffer) => Buffer | undefined;
}

const word = (bytes: Buffer, at: number | bigint) => bytes.readBigUInt64BE(Number(at));
const write = (bytes: Buffer, at: number | bigint, value: bigint) => {
  bytes.writeBigUInt64BE(value, Number(at));
  return undefined;
};
const l1At = (bytes: Buffer) => word(bytes, L1_OFFSET_AT);
const l2At = (bytes: Buffer) => word(bytes, l1At(bytes)) & OFFSET;
const pastEnd = (bytes: Buffer) => BigInt(Math.ceil(bytes.length / 2 ** 21) * 2 ** 21 + 2 ** 24);

/** The first L2 entry becomes `entry`. */
function firstCluster(what: string, image: string, entry: (bytes: Buffer) => bigint): Damage {
  return { what, image, apply: (bytes) => write(bytes, l2At(bytes), entry(bytes)) };
}

export const DAMAGES: readonly Damage[] = [
  {
    what: 'an L2 table that is not aligned',
    image: 'clusters/64k-v3-zlib',
    apply: (bytes) => write(bytes, l1At(bytes), word(bytes, l1At(bytes)) | 0x200n),
  },
  {
    what: 'an L2 table past the end of the file',
    image: 'clusters/64k-v3-zlib',
    apply: (bytes) => write(bytes, l1At(bytes), COPIED | pastEnd(bytes)),
  },
  {
    what: 'an L1 table past the end of the file',
    image: 'clusters/64k-v3-zlib',
    apply: (bytes) => write(bytes, L1_OFFSET_AT, pastEnd(bytes)),
  },
  firstCluster('a cluster that is not aligned', 'plain/64k', () => COPIED | 0x50200n),
  firstCluster('a cluster past the end of the file', 'plain/64k', (bytes) => COPIED | pastEnd(bytes)),
  firstCluster('a payload past the end of the file', 'plain/64k', (bytes) => COMPRESSED | pastEnd(bytes)),
  firstCluster('a zero cluster in version 2', 'clusters/4k-v2-zlib', () => 1n),
  firstCluster('a compressed cluster beside a data file', 'data-files/64k', () => COMPRESSED | 0x50000n),
  firstCluster('a cluster at the wrong offset of a data file', 'data-files/64k', () => COPIED | 0x50000n),
  {
    what: 'subclusters that are data and zeros',
    image: 'subclusters/states-16k',
    apply: (bytes) => write(bytes, l2At(bytes) + 8n, 2n ** 64n - 1n),
  },
  {
    what: 'a broken entry after valid ones',
    image: 'plain/64k',
    apply: (bytes) => write(bytes, l2At(bytes) + 8n * 9n, COPIED | 0x50200n),
  },
  {
    what: 'a refcount block that is not aligned, of a preallocated image',
    image: 'layout/preallocated-metadata-65536',
    apply: (bytes) => write(bytes, word(bytes, REFCOUNT_TABLE_AT), 0x20200n),
  },
  {
    what: 'half of the file',
    image: 'clusters/64k-v3-zlib',
    apply: (bytes) => bytes.subarray(0, Math.floor(bytes.length / 2)),
  },
  {
    what: 'nothing after the first cluster',
    image: 'clusters/64k-v3-zlib',
    apply: (bytes) => bytes.subarray(0, 65536),
  },
  {
    what: 'an L2 table that is cut off in the middle',
    image: 'layout/tables-at-the-end-4k',
    apply: (bytes) => bytes.subarray(0, Number(l2At(bytes)) + 1024),
  },
  {
    what: 'half a header',
    image: 'clusters/64k-v3-zlib',
    apply: (bytes) => bytes.subarray(0, 40),
  },
  {
    what: 'clusters of an impossible size',
    image: 'clusters/64k-v3-zlib',
    apply: (bytes) => {
      bytes.writeUInt32BE(50, CLUSTER_BITS_AT);
      return undefined;
    },
  },
];
