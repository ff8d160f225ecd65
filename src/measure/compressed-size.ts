/** The exact size of a compressed image: the conversion as it would be, but to nowhere; or of a sample of it. */
import { type ConversionParts, convertWith } from '../convert/convert.js';
import type { ConvertResult } from '../convert/options.js';
import { openNullTarget } from './null-target.js';
import type { Estimate, MeasureOptions } from './options.js';
import { Sampling } from './sampling.js';

/** Smaller pieces of a sample would not be compressed any faster; each is read by itself. */
const SMALLEST_PIECE = 65536;

/**
 * @param sourceClusterSize bytes of what the source can only inflate as a whole; 1 if nothing
 * @param seed for another sample
 * @throws Qcow2cError as `convert`
 */
export async function compressedSize(
  { source, size: _, sample, ...options }: MeasureOptions,
  { workerEntry }: Pick<ConversionParts, 'workerEntry'>,
  sourceClusterSize: number,
  seed: number | undefined,
): Promise<Pick<ConvertResult, 'fileSize' | 'virtualSize'> & { readonly estimate: Estimate | undefined }> {
  const pieceSize = Math.max(SMALLEST_PIECE, sourceClusterSize);
  const sampling = sample === undefined ? undefined : new Sampling({ percent: sample, pieceSize, seed });
  const { fileSize, virtualSize } = await convertWith(
    {
      ...options,
      sources: source === undefined ? [] : [source],
      target: '',
      targetFormat: 'qcow2',
      // Where a cluster goes does not depend on the cache, and without one its bytes are not copied.
      compressedCacheSize: 0,
    },
    { workerEntry, openTarget: openNullTarget, runClusters: sampling?.run },
  );
  return { fileSize, virtualSize, estimate: sampling?.estimate };
}
