/**
 * The options of a new image, their defaults and their validation. The rules, their order and their messages are those
 * of qemu-img (qcow2_co_create in QEMU's block/qcow2.c), because scripts know them.
 */
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, quoted, usageError } from '../errors.js';
import {
  type Geometry,
  geometry,
  l1EntriesFor,
  MAX_CLUSTER_BITS,
  MAX_L1_BYTES,
  MAX_REFCOUNT_ORDER,
  MIN_CLUSTER_BITS,
  MIN_EXTENDED_L2_CLUSTER_BITS,
  TABLE_ENTRY_BYTES,
} from './geometry.js';
import { MAX_BACKING_NAME_BYTES } from './header.js';
import { type HeaderNames, headerBytes, type NewBackingFile, type NewDataFile } from './new-header.js';

export interface CreateOptions {
  /** Bytes, a power of two from 512 to 2 MiB. Default 65536, as in qemu-img. */
  readonly clusterSize?: number | undefined;
  /** The format's version: 3 ("1.1", the default), or 2 ("0.10") for software from before 2012. */
  readonly compat?: 2 | 3 | undefined;
  /** Default zlib, which every reader knows; zstd needs version 3. */
  readonly compressionType?: CompressionType | undefined;
  /** Width of a refcount: a power of two up to 64. Default 16, the only width of version 2. */
  readonly refcountBits?: number | undefined;
  /** Allows later writers to postpone refcount updates. Default false; needs version 3. */
  readonly lazyRefcounts?: boolean | undefined;
  /** L2 entries of 16 bytes, with 32 subclusters each; needs version 3 and clusters of 16 KiB. Default false. */
  readonly extendedL2?: boolean | undefined;
  /** The backing file's name as stored in the image, relative to the image's directory; needs its format. */
  readonly backingFile?: string | undefined;
  readonly backingFormat?: 'raw' | 'qcow2' | undefined;
  /** The external data file's name, relative to the working directory, as in QEMU. Not with compression. */
  readonly dataFile?: string | undefined;
  /** Whether the data file can be read as a raw disk. Default false. */
  readonly dataFileRaw?: boolean | undefined;
  /** The preallocation besides the data. Default off. Not with compression. */
  readonly preallocation?: 'off' | 'metadata' | 'falloc' | 'full' | undefined;
  /** Bytes of a disk that is read from a stream; other sources have a size of their own. */
  readonly size?: number | undefined;
}

/** Valid options, with defaults applied. */
export interface ImageParameters {
  readonly version: 2 | 3;
  readonly geometry: Geometry;
  readonly compressionType: CompressionType;
  readonly lazyRefcounts: boolean;
  readonly backing?: NewBackingFile | undefined;
  readonly dataFile?: NewDataFile | undefined;
  /** A raw data file is mapped as a whole, so `off` becomes `metadata` with it. */
  readonly preallocation: 'off' | 'metadata' | 'falloc' | 'full';
}

export const PREALLOCATIONS = ['off', 'metadata', 'falloc', 'full'] as const;
const needsVersion3 = 'compatibility level 1.1 and above (use version=v3 or greater)';

/** Whether `value` is 2^n with n in this range. */
function isPowerOfTwo(value: number, lowest: number, highest: number): boolean {
  const exponent = Math.log2(value);
  return Number.isInteger(exponent) && 2 ** exponent === value && exponent >= lowest && exponent <= highest;
}

/**
 * Validates options and applies the defaults.
 * @param virtualSize bytes; undefined for a stream, whose size is known at its end
 * @throws Qcow2cError ERR_USAGE for an invalid value or combination; ERR_LIMIT when the disk needs an L1 table larger
 *   than QEMU opens, or the names do not fit into the first cluster
 */
export function resolveCreateOptions(
  options: CreateOptions,
  virtualSize: number | undefined,
): ImageParameters {
  const {
    clusterSize = 65536,
    compat: version = 3,
    compressionType = 'zlib',
    refcountBits = 16,
    lazyRefcounts = false,
    extendedL2 = false,
    preallocation = 'off',
    backingFile,
    backingFormat,
    dataFile,
    dataFileRaw = false,
  } = options;
  if (backingFile === '') throw usageError('Expected backing file name, got empty string');
  if (version < 3 && extendedL2) {
    throw usageError(`Extended L2 entries are only supported with ${needsVersion3}`);
  }
  if (!isPowerOfTwo(clusterSize, MIN_CLUSTER_BITS, MAX_CLUSTER_BITS)) {
    throw usageError('Cluster size must be a power of two between 512 and 2048k', { found: clusterSize });
  }
  const smallest = 2 ** MIN_EXTENDED_L2_CLUSTER_BITS;
  if (extendedL2 && clusterSize < smallest) {
    const needed = `cluster sizes of at least ${smallest} bytes`;
    throw usageError(`Extended L2 entries are only supported with ${needed}`, { found: clusterSize });
  }
  if (backingFile !== undefined && preallocation !== 'off' && !extendedL2) {
    throw usageError('Backing file and preallocation can only be used at the same time if extended_l2 is on');
  }
  if (backingFormat !== undefined && backingFile === undefined) {
    throw usageError('Backing format cannot be used without backing file');
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
  if (dataFileRaw && dataFile === undefined) throw usageError('data-file-raw requires data-file');
  if (dataFileRaw && backingFile !== undefined) {
    throw usageError('Backing file and data-file-raw cannot be used at the same time');
  }
  if (version < 3 && dataFile !== undefined) {
    throw usageError(`External data files are only supported with ${needsVersion3}`);
  }
  if (version < 3 && compressionType !== 'zlib') {
    throw usageError(`Non-zlib compression type is only supported with ${needsVersion3}`);
  }
  const parameters: ImageParameters = {
    version,
    geometry: geometry(Math.log2(clusterSize), refcountBits, extendedL2),
    compressionType,
    lazyRefcounts,
    backing: newBackingFile(backingFile, backingFormat),
    dataFile: dataFile === undefined ? undefined : { name: dataFile, raw: dataFileRaw },
    preallocation: dataFileRaw && preallocation === 'off' ? 'metadata' : preallocation,
  };
  refuseLongDataFileName(parameters);
  if (virtualSize !== undefined) refuseLargeDisk(parameters.geometry, virtualSize);
  refuseLongBackingName(parameters);
  return parameters;
}

function newBackingFile(
  file: string | undefined,
  format: CreateOptions['backingFormat'],
): NewBackingFile | undefined {
  if (file === undefined) return undefined;
  if (format === undefined) throw noBackingFormat();
  return { file, format };
}

/** The error of a backing file without a format. A guest could forge a probed format, so the format must be given. */
export function noBackingFormat(): Qcow2cError {
  return usageError(
    'Use of backing file requires explicit backing format (state it with -F raw or -F qcow2)',
  );
}

/** Whether these names fit into the first cluster after the header. */
function hasRoom({ version, geometry }: ImageParameters, names: HeaderNames): boolean {
  return headerBytes(version, geometry.clusterBits, names) <= geometry.clusterSize;
}

function refuseLongDataFileName(parameters: ImageParameters): void {
  if (hasRoom(parameters, { dataFile: parameters.dataFile })) return;
  throw new Qcow2cError('ERR_LIMIT', 'Could not update qcow2 header: No space left on device');
}

function refuseLongBackingName(parameters: ImageParameters): void {
  const { backing, dataFile } = parameters;
  if (backing === undefined) return;
  const tooLong = Buffer.byteLength(backing.file) > MAX_BACKING_NAME_BYTES;
  if (!tooLong && hasRoom(parameters, { backing, dataFile })) return;
  const reason = tooLong ? 'Invalid argument' : 'No space left on device';
  throw new Qcow2cError(
    'ERR_LIMIT',
    `Could not assign backing file ${quoted(backing.file)} with format '${backing.format}': ${reason}`,
  );
}

/** @throws Qcow2cError ERR_LIMIT when a disk of `virtualSize` bytes needs an L1 table larger than QEMU opens */
export function refuseLargeDisk(geometry: Geometry, virtualSize: number): void {
  if (l1EntriesFor(geometry, virtualSize) <= MAX_L1_BYTES / TABLE_ENTRY_BYTES) return;
  throw new Qcow2cError(
    'ERR_LIMIT',
    "The image size is too large for file format 'qcow2' (try using a larger cluster size)",
    { found: virtualSize },
  );
}
