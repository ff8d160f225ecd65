/** Checks the options of a conversion before any file is opened, in the words of qemu-img. */
import { type Qcow2cError, quoted, usageError } from '../errors.js';
import { missingFileName } from '../image/image-reference.js';
import { noBackingFormat } from '../qcow2/create-options.js';
import { SECTOR_SIZE } from '../sector.js';
import { type StreamTarget, streamTitle } from '../storage/stream-name.js';
import { noRawCompression, refuseWithoutCompression } from './compression-options.js';
import type { ConvertOptions } from './options.js';
import { isStream, refuseForStream } from './stream-reference.js';

/** qemu-img's largest copy buffer in bytes, 32768 sectors. */
const HIGHEST_SPARSE_SIZE = 32768 * SECTOR_SIZE;

/** `targetFormat`: of the command line only if it is stated. */
type CompressionOptions = Omit<Partial<ConvertOptions>, 'targetFormat'> & {
  readonly targetFormat?: string | undefined;
};

/** The sources, and the other options that are known so far. */
type KnownOptions = Pick<ConvertOptions, 'sources'> & Partial<ConvertOptions>;

/**
 * Checks options that are complete, or that the command line has read so far.
 * @throws Qcow2cError ERR_USAGE; ERR_UNSUPPORTED for a stream that would have to be read twice
 */
export function validate(options: KnownOptions): void {
  validateSources(options);
  validateTarget(options);
  validateBitmap(options);
  validateStream(options);
  validateCompression(options);
  validateSparseSize(options.sparseSize);
  refuseMinSize(options.minSize, options.create?.size);
}

/** The target's name is checked when it is opened: it may be that of a pipe. */
function validateStream(options: KnownOptions): void {
  const { target } = options;
  if (target === undefined || typeof target === 'string') return;
  refuseForStreamTarget(target, options);
}

function validateSources(options: KnownOptions): void {
  const { sources, snapshot } = options;
  if (sources.length === 0) throw missingFileName();
  const stream = sources.find(isStream);
  if (stream !== undefined) refuseForStream(stream, options);
  if (snapshot !== undefined && sources.length > 1) {
    throw usageError('No support for concatenating multiple snapshot');
  }
}

function validateTarget(options: KnownOptions): void {
  const { sources, targetFormat, bitmaps, compress = false, create = {}, keepTarget = false } = options;
  const { backingFile, backingFormat, preallocation } = create;
  if (options.targetIsZero && !keepTarget) throw usageError('--target-is-zero requires use of -n flag');
  if (targetFormat === 'raw') {
    if (backingFile !== undefined) throw onlyForQcow2("Backing file not supported for file format 'raw'");
    if (backingFormat !== undefined) {
      throw onlyForQcow2("Backing file format not supported for file format 'raw'");
    }
  }
  if (backingFile !== undefined && options.targetIsZero) {
    throw usageError('Cannot use --target-is-zero when the destination image has a backing file');
  }
  if (backingFile !== undefined && sources.length > 1) {
    throw usageError(
      'Having a backing file for the target makes no sense when concatenating multiple input images',
    );
  }
  // With -n the image keeps its backing file and the format of that file.
  if (backingFile !== undefined && backingFormat === undefined && !keepTarget) throw noBackingFormat();
  if (compress) {
    if (targetFormat === 'raw') throw noRawCompression();
    refuseWithCompression(create);
  }
  if (targetFormat === 'raw' && preallocation === 'metadata') {
    throw onlyForQcow2(
      "Parameter 'preallocation' does not accept value 'metadata' (accepted: off, falloc, full)",
    );
  }
  if (bitmaps === undefined) return;
  if (targetFormat === 'raw') throw onlyForQcow2("Format driver 'raw' does not support bitmaps");
  if (sources.length > 1) throw usageError('Copying bitmaps only possible with single source');
}

/** @throws Qcow2cError ERR_USAGE for options that have no effect without compression */
export function validateCompression(options: CompressionOptions): void {
  const { engine, recompress = false, compressedCacheSize } = options;
  refuseWithoutCompression(options, {
    '--recompress': recompress,
    '--compressed-cache-size': compressedCacheSize !== undefined,
    // The engine of Node.js also inflates the sources.
    [`--engine ${engine}`]: engine !== undefined && engine !== 'node',
  });
}

/**
 * @param bytes the shortest run of zeros to leave unallocated
 * @throws Qcow2cError ERR_USAGE for a size that qemu-img refuses
 */
export function validateSparseSize(bytes = 0): void {
  if (bytes % SECTOR_SIZE === 0 && bytes <= HIGHEST_SPARSE_SIZE) return;
  throw usageError(
    `Invalid buffer size for sparse output specified. Valid sizes are multiples of ${SECTOR_SIZE} up to ` +
      `${HIGHEST_SPARSE_SIZE}. Select 0 to disable sparse detection (fully allocates output).`,
  );
}

function validateBitmap(options: KnownOptions): void {
  const { sources, snapshot, bitmap, compareWithBacking, targetFormat, create = {}, keepTarget } = options;
  if (bitmap === undefined) {
    if (!compareWithBacking) return;
    throw usageError('--compare-with-backing requires --bitmap: without a bitmap -B always compares');
  }
  if (targetFormat === 'raw') {
    throw onlyForQcow2('--bitmap stores changes over a backing file, which a raw target cannot have');
  }
  if (sources.length > 1) throw usageError('--bitmap requires a single source');
  if (snapshot !== undefined) {
    throw usageError(
      'A bitmap lists the changes up to the current state of the disk, so --bitmap cannot be used with -l',
    );
  }
  if (create.backingFile === undefined && !keepTarget) {
    throw usageError(
      '--bitmap stores changes only: name the backup that has the rest with -B FILE -F FMT (or with ' +
        '-o backing_file=FILE,backing_fmt=FMT), or leave out --bitmap for a full backup',
    );
  }
}

/** @throws Qcow2cError ERR_USAGE for options that need a file */
export function refuseForStreamTarget(target: string | StreamTarget, options: KnownOptions): void {
  const { create = {}, keepTarget, verify, digest, bitmap, spool, targetFormat } = options;
  const file = typeof target === 'string' ? target : streamTitle(target);
  const refuse = (what: string, instead: string) =>
    usageError(`${quoted(file)} is a stream, which ${what}: ${instead}`, { file });
  if (keepTarget) throw refuse('holds no image to write into', '-n is for files and devices');
  if (create.preallocation !== undefined && create.preallocation !== 'off') {
    throw refuse('has no space to preallocate', 'write to a file, or leave preallocation out');
  }
  if (create.dataFile !== undefined) {
    throw refuse('is one file', 'write an image with an external data file to a file');
  }
  if (digest && bitmap !== undefined && spool === undefined) {
    // What a bitmap does not list is read only from the finished image.
    throw refuse('cannot be read back for a digest', "add --spool DIR, or use 'qcow2c checksum' later");
  }
  if (verify && (spool === undefined || targetFormat === 'raw')) {
    const instead =
      targetFormat === 'raw'
        ? 'compare what the reader has stored'
        : 'add --spool DIR, or compare what the reader has stored';
    throw refuse('cannot be read back', instead);
  }
}

/**
 * @param create options of a new image whose clusters are to be compressed; `preallocation` may be any text
 * @throws Qcow2cError ERR_USAGE for the first option that excludes compression, in the order of qemu-img's checks
 */
export function refuseWithCompression({
  preallocation = 'off',
  dataFile,
}: {
  readonly preallocation?: string | undefined;
  readonly dataFile?: string | undefined;
}): void {
  if (preallocation !== 'off') throw notWithCompression('preallocation');
  if (dataFile !== undefined) throw notWithCompression('data_file');
}

/** The error of an option that excludes compression. */
export function notWithCompression(option: string): Qcow2cError {
  return usageError(`Compression and ${option} not supported at the same time`);
}

/** The error of a preallocation of blocks that lie on a device or behind an NBD export. */
export function notPreallocated(mode: string): Qcow2cError {
  return usageError(`Unsupported preallocation mode '${mode}' on a device or an NBD export`);
}

/** The error of options for a new image when the target is written in place. */
export function noEffectInPlace(): Qcow2cError {
  return usageError('-o has no effect when skipping image creation');
}

/** The error of an option that a raw target does not have. */
function onlyForQcow2(message: string): Qcow2cError {
  return usageError(message, { expected: 'qcow2', found: 'raw' });
}

/** @param size bytes that the sources are to have, if that is stated */
function refuseMinSize(minSize: number | undefined, size: number | undefined): void {
  if (minSize === undefined) return;
  if (size === undefined || size >= minSize) return;
  throw usageError(`The size (${size} bytes) is below the minimum size (${minSize} bytes)`, {
    expected: minSize,
    found: size,
  });
}
