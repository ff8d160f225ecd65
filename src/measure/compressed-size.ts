/** The size of a compressed image. Exact by converting to the null target; estimated by compressing a sample. */
import { type ConversionParts, convertWith } from '../convert/convert.js';
import type { ConvertResult } from '../convert/options.js';
import { openNullTarget } from './null-target.js';
import type { Estimate, MeasureOptions } from './options.js';
import { Sampling } from './sampling.js';

/** Minimum piece of a sample. Smaller pieces would not be faster, as each is read separately. */
const SMALLEST_PIECE = 65536;

/**
 * @param sourceClusterSize bytes that the source can only decompress as a whole; 1 without compression
 * @param seed selects another sample
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
      // The placement of clusters does not depend on the cache; without a cache no bytes are copied.
      compressedCacheSize: 0,
    },
    { workerEntry, openTarget: openNullTarget, runClusters: sampling?.run },
  );
  return { fileSize, virtualSize, estimate: sampling?.estimate };
}
