/**
 * What may be chosen when an image is made, its defaults, and the check of both. The rules, their order
 * and their words are those of qemu-img (qcow2_co_create in QEMU's block/qcow2.c), which scripts know.
 */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, usageError } from '../errors.js';
import {
  type Geometry,
  geometry,
  l1EntriesFor,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MAX_REFCOUNT_ORDER,
  MIN_CLUSTER_BITS,
  TABLE_ENTRY_BYTES,
} from './geometry.js';

export interface CreateOptions {
  /** Bytes, a power of two from 512 to 2 MiB. Default 65536, as in qemu-img. */
  readonly clusterSize?: number | undefined;
  /** The format's version: 3 ("1.1", the default), or 2 ("0.10") for software from before 2012. */
  readonly compat?: 2 | 3 | undefined;
  /** Default zlib, which every reader knows; zstd needs version 3. */
  readonly compressionType?: CompressionType | undefined;
  /** Width of a refcount: a power of two up to 64. Default 16; version 2 has no other. */
  readonly refcountBits?: number | undefined;
  /** Lets whoever writes to the image later postpone refcount updates. Default false; needs version 3. */
  readonly lazyRefcounts?: boolean | undefined;
  /** L2 entries of 16 bytes that know 32 subclusters each; needs version 3 and clusters of 16 KiB. Default false. */
  readonly extendedL2?: boolean | undefined;
  /** The backing file's name as the image shall hold it, relative to the image's directory; with its format. */
  readonly backingFile?: string | undefined;
  readonly backingFormat?: 'raw' | 'qcow2' | undefined;
  /** The external data file's name, relative to the image's directory. Not with compression. */
  readonly dataFile?: string | undefined;
  /** Whether the data file can be read as a raw disk by itself. Default false. */
  readonly dataFileRaw?: boolean | undefined;
  /** What is allocated beyond the data. Default off. Not with compression. */
  readonly preallocation?: 'off' | 'metadata' | 'falloc' | 'full' | undefined;
  /** Bytes of a disk that comes as a stream; otherwise the sources have the size. */
  readonly size?: number | undefined;
}

/** Options with every choice made and checked. */
export interface ImageParameters {
  readonly version: 2 | 3;
  readonly geometry: Geometry;
  readonly compressionType: CompressionType;
  readonly lazyRefcounts: boolean;
}

const needsVersion3 = 'compatibility level 1.1 and above (use version=v3 or greater)';

/** Whether `value` is 2^n for an n of this range. */
function isPowerOfTwo(value: number, lowest: number, highest: number): boolean {
  const exponent = Math.log2(value);
  return Number.isInteger(exponent) && 2 ** exponent === value && exponent >= lowest && exponent <= highest;
}

/**
 * @param virtualSize bytes
 * @throws Qcow2cError ERR_USAGE for a value or a combination that cannot be; ERR_LIMIT when the disk needs
 *   an L1 table larger than QEMU opens
 */
export function resolveCreateOptions(options: CreateOptions, virtualSize: number): ImageParameters {
  const {
    clusterSize = 65536,
    compat: version = 3,
    compressionType = 'zlib',
    refcountBits = 16,
    lazyRefcounts = false,
  } = options;
  if (version !== 2 && version !== 3) {
    throw usageError(`Parameter 'version' does not accept value '${version}'`);
  }
  if (compressionType !== 'zlib' && compressionType !== 'zstd') {
    throw usageError(`Parameter 'compression-type' does not accept value '${compressionType}'`);
  }
  if (!isPowerOfTwo(clusterSize, MIN_CLUSTER_BITS, MAX_CLUSTER_BITS)) {
    throw usageError('Cluster size must be a power of two between 512 and 2048k', { found: clusterSize });
  }
  if (version < 3 && lazyRefcounts) {
    throw usageError(`Lazy refcounts only supported with ${needsVersion3}`);
  }
  if (!isPowerOfTwo(refcountBits, 0, MAX_REFCOUNT_ORDER)) {
    throw usageError('Refcount width must be a power of two and may not exceed 64 bits', {
      found: refcountBits,
    });
  }
  if (version < 3 && refcountBits !== 16) {
    throw usageError(
      'Different refcount widths than 16 bits require compatibility level 1.1 or above (use version=v3 or greater)',
    );
  }
  if (version < 3 && compressionType !== 'zlib') {
    throw usageError(`Non-zlib compression type is only supported with ${needsVersion3}`);
  }
  const resolved = geometry(Math.log2(clusterSize), refcountBits);
  if (l1EntriesFor(resolved, virtualSize) > MAX_L1_BYTES / TABLE_ENTRY_BYTES) {
    throw new Qcow2cError(
      'ERR_LIMIT',
      "The image size is too large for file format 'qcow2' (try using a larger cluster size)",
      { found: virtualSize },
    );
  }
  return { version, geometry: resolved, compressionType, lazyRefcounts };
}
