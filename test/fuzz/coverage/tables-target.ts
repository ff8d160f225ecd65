/** L1 and L2 tables of the disk: cluster map, look-ups and the walk through the tables. */
import { readQcow2ImageHeader } from '../../../src/image/image-header.js';
import { INCOMPATIBLE_DATA_FILE } from '../../../src/qcow2/features.js';
import { promiseMap } from './map-promises.js';
import { MemoryImage } from './memory-image.js';
import { attempt } from './promises.js';

const DATA_DESCRIPTOR = 6;

export async function fuzz(input: Uint8Array): Promise<void> {
  const file = MemoryImage.folded(input);
  const { value } = await attempt(['ERR_FORMAT', 'ERR_CORRUPT', 'ERR_UNSUPPORTED'], () =>
    readQcow2ImageHeader(file.source, 'description'),
  );
  if (value === undefined) return;
  const { header } = value;
  await promiseMap(header, file, dataFileOf(header));
}

/** A data file of half the disk, where there is one. */
export function dataFileOf({
  incompatibleFeatures,
  virtualSize,
}: {
  incompatibleFeatures: bigint;
  virtualSize: number;
}) {
  if ((incompatibleFeatures & INCOMPATIBLE_DATA_FILE) === 0n) return undefined;
  return MemoryImage.ofZeros(Math.ceil(virtualSize / 1024) * 512, DATA_DESCRIPTOR);
}
