/** Examines every cluster of the images of a chain, one image after the other, with one progress for all. */
import type { Examination, examineImage } from '../examine/examine-image.js';
import type { Qcow2ImageHeader } from '../image/image-header.js';
import type { ImageInfoOptions } from './image-info.js';

/**
 * @param images undefined for a raw image; the images stay open
 * @returns the findings for each image
 * @throws Qcow2cError as examineImage
 */
export async function examineImages(
  images: readonly { readonly qcow2: Qcow2ImageHeader | undefined }[],
  {
    threads,
    memory,
    onProgress,
    signal,
  }: Pick<ImageInfoOptions, 'threads' | 'memory' | 'onProgress' | 'signal'>,
  examine: typeof examineImage,
): Promise<(Examination | undefined)[]> {
  const guestBytes = images.reduce((sum, { qcow2 }) => sum + (qcow2?.header.virtualSize ?? 0), 0);
  const found: (Examination | undefined)[] = [];
  let [guestBytesBefore, dataBytesBefore, dataBytes] = [0, 0, 0];
  for (const { qcow2 } of images) {
    if (qcow2 === undefined) {
      found.push(undefined);
      continue;
    }
    const examination = await examine(qcow2, {
      threads,
      memory,
      signal,
      streamFacts: true,
      // Payloads of snapshots share host clusters with the disk's.
      snapshots: true,
      onProgress: (progress) => {
        dataBytes = progress.dataBytes;
        onProgress?.({
          guestBytes,
          guestBytesDone: guestBytesBefore + progress.guestBytesDone,
          dataBytes: dataBytesBefore + dataBytes,
          storedBytes: undefined,
        });
      },
    });
    found.push(examination);
    guestBytesBefore += qcow2.header.virtualSize;
    dataBytesBefore += dataBytes;
  }
  return found;
}
