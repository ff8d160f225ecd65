/**
 * What a conversion's options rule out by themselves, before anything is opened, in the words of qemu-img. The
 * command line asks the same as soon as it has read its options.
 */
import { type Qcow2cError, usageError } from '../errors.js';
import { noBackingFormat } from '../qcow2/create-options.js';
import type { ConvertOptions } from './options.js';
import { isStream, refuseForStream } from './stream-reference.js';

/** @throws Qcow2cError ERR_USAGE; ERR_UNSUPPORTED for a stream that would have to be read twice */
export function validate(options: ConvertOptions): void {
  const { sources, create, minSize, bitmaps } = options;
  validateSources(options);
  validateTarget(options);
  if (bitmaps !== undefined && options.targetFormat === 'raw') {
    throw onlyForQcow2("Format driver 'raw' does not support bitmaps");
  }
  if (bitmaps !== undefined && sources.length > 1) {
    throw usageError('Copying bitmaps only possible with single source');
  }
  refuseMinSize(minSize, create?.size);
}

/** The part that is about what is read. @throws Qcow2cError as `validate` */
export function validateSources(
  options: Pick<ConvertOptions, 'sources' | 'sourceFormat' | 'snapshot' | 'bitmaps'>,
): void {
  const { sources, snapshot } = options;
  if (sources.length === 0) throw usageError('Must specify image file name');
  const stream = sources.find(isStream);
  if (stream !== undefined) refuseForStream(stream, options);
  if (snapshot !== undefined && sources.length > 1) {
    throw usageError('No support for concatenating multiple snapshot');
  }
}

/** The part that is about what is made. @throws Qcow2cError as `validate` */
export function validateTarget({
  sources,
  targetFormat,
  compress = false,
  create = {},
  keepTarget = false,
}: Pick<ConvertOptions, 'sources' | 'targetFormat' | 'compress' | 'create' | 'keepTarget'>): void {
  const { backingFile, backingFormat, preallocation } = create;
  if (targetFormat === 'raw') {
    if (backingFile !== undefined) throw onlyForQcow2("Backing file not supported for file format 'raw'");
    if (backingFormat !== undefined) {
      throw onlyForQcow2("Backing file format not supported for file format 'raw'");
    }
  }
  if (backingFile !== undefined && sources.length > 1) {
    throw usageError(
      'Having a backing file for the target makes no sense when concatenating multiple input images',
    );
  }
  // With -n the image has its own backing file, and the format of that.
  if (backingFile !== undefined && backingFormat === undefined && !keepTarget) throw noBackingFormat();
  if (targetFormat !== 'raw') return;
  if (compress) throw onlyForQcow2('Compression not supported for this file format');
  if (preallocation === 'metadata') {
    throw onlyForQcow2(
      "Parameter 'preallocation' does not accept value 'metadata' (accepted: off, falloc, full)",
    );
  }
}

/** Of a raw target. */
function onlyForQcow2(message: string): Qcow2cError {
  return usageError(message, { expected: 'qcow2', found: 'raw' });
}

/** @param size bytes that the sources are to have, if that is stated */
function refuseMinSize(minSize: number | undefined, size: number | undefined): void {
  if (minSize === undefined) return;
  if (!Number.isSafeInteger(minSize) || minSize < 0) {
    throw usageError(`The least size must be a whole number of bytes, not ${minSize}`, { found: minSize });
  }
  if (size !== undefined && size < minSize) {
    throw usageError(`The size (${size} bytes) is below the least size (${minSize} bytes)`, {
      expected: minSize,
      found: size,
    });
  }
}
