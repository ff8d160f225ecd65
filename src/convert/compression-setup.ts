/** The workers' setup for a qcow2 image: which clusters they store, copy and compress. */
import type { CompressorChoice } from '../engines/codec.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import type { CompressClusters } from '../workers/messages/compression.js';
import type { ExistingImage } from './existing-image.js';
import type { ConvertOptions } from './options.js';
import { type OutputSetup, SPARSE_SIZE } from './output.js';

export type CompressionOptions = Pick<
  ConvertOptions,
  'sparseSize' | 'recompress' | 'compressionLevel' | 'compressionWindowBits'
>;

export interface CompressionParts {
  readonly parameters: ImageParameters;
  /** undefined: clusters are stored uncompressed. */
  readonly compressor: CompressorChoice | undefined;
  /** The existing image in the target; undefined: a new image. */
  readonly existing: ExistingImage | undefined;
}

/**
 * Payloads of the source are copied unless recompression, a level or a window is requested. Version 2 has no zero
 * clusters, so over a backing file zeros are stored as data.
 */
export function compressionSetup(
  { sparseSize = SPARSE_SIZE, recompress, compressionLevel, compressionWindowBits }: CompressionOptions,
  { compressor, parameters, existing }: CompressionParts,
): OutputSetup<CompressClusters> {
  const { geometry, version, preallocation } = parameters;
  const recompresses = recompress || compressionLevel !== undefined || compressionWindowBits !== undefined;
  const hasBacking = parameters.backing !== undefined || existing?.backing !== undefined;
  return {
    task: 'compress clusters',
    clusterSize: geometry.clusterSize,
    compressor,
    passthrough: compressor !== undefined && !recompresses,
    keepZeros: sparseSize === 0 || preallocation === 'full' || (version === 2 && hasBacking),
    sparseSize,
    subclusters: geometry.extendedL2 && compressor === undefined,
  };
}
