/** Refuses options that have no effect without compression, alike for `convert` and `measure`. */
import { type Qcow2cError, usageError } from '../errors.js';
import type { ConvertOptions } from './options.js';

type CompressionOptions = Pick<
  ConvertOptions,
  'compress' | 'checkPayloads' | 'compressionLevel' | 'compressionWindowBits'
> & { readonly targetFormat?: string | undefined };

/**
 * @param more further options that need compression, by their flag: whether each of them is given
 * @throws Qcow2cError ERR_USAGE for the first one that is given without `compress`
 */
export function refuseWithoutCompression(
  options: CompressionOptions,
  more: Readonly<Record<string, boolean>>,
): void {
  const { compress, targetFormat, checkPayloads = false, compressionLevel, compressionWindowBits } = options;
  if (compress) return;
  const given = {
    ...more,
    '--check-payloads': checkPayloads,
    '-o compression_level': compressionLevel !== undefined,
    '-o compression_window_bits': compressionWindowBits !== undefined,
  };
  for (const [flag, isGiven] of Object.entries(given)) {
    if (isGiven) throw requiresCompression(flag, targetFormat);
  }
}

/** The error of an option that has no effect without compression. @param targetFormat undefined: not stated */
export function requiresCompression(flag: string, targetFormat: string | undefined): Qcow2cError {
  return usageError(`${flag} requires -c${targetFormat === 'raw' ? ' and a qcow2 target' : ''}`);
}

/** The error of compression for a raw target. */
export function noRawCompression(): Qcow2cError {
  return usageError('Compression not supported for this file format', { expected: 'qcow2', found: 'raw' });
}
