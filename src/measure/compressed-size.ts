/** The exact size of a compressed image: the conversion as it would be, but to nowhere; or of a sample of it. */
import { convertWith } from '../convert/convert.js';
import type { ConvertResult } from '../convert/options.js';
import type { ConversionParts } from '../convert/parts.js';
import { openNowhere } from './nowhere.js';
import type { Estimate, MeasureOptions } from './options.js';

/**
 * @throws Qcow2cError as `convert`
 */
export async function compressedSize(
  { source, size: _, sample, ...options }: MeasureOptions,
  { workerEntry }: Pick<ConversionParts, 'workerEntry'>,
): Promise<Pick<ConvertResult, 'fileSize' | 'virtualSize'> & { readonly estimate: Estimate | undefined }> {
  const result = await convertWith(
    {
      ...options,
      sources: source === undefined ? [] : [source],
      target: '',
      targetFormat: 'qcow2',
      // Where a cluster goes does not depend on the cache, and without one its bytes are not copied.
      compressedCacheSize: 0,
    },
    { workerEntry, openTarget: openNowhere },
  );
  return { ...result, estimate: undefined };
}
