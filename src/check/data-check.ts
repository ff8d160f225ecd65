/** Looks at the compressed data of an image that has been analysed: the part of a check that QEMU's has not. */
import { examineImage } from '../pipeline/examine-image.js';
import type { Progress } from '../pipeline/progress.js';
import type { RawSource } from '../raw/raw-source.js';
import type { CheckedImage } from './checked-image.js';
import type { OnFinding } from './findings.js';
import type { CheckResult } from './options.js';

export interface DataCheckOptions {
  readonly threads: number | undefined;
  readonly workerEntry: URL | undefined;
  readonly onFinding: OnFinding;
  readonly onProgress: (progress: Progress) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Inflates every compressed cluster of the image and its snapshots.
 * @param file the image's, to be read by workers through its descriptor
 * @returns how many were inflated, and how many of them, or of the tables on the way to them, are broken
 * @throws Qcow2cError as `examineImage`
 */
export async function checkData(
  { header }: CheckedImage,
  file: RawSource,
  { onFinding, ...options }: DataCheckOptions,
): Promise<NonNullable<CheckResult['data']>> {
  let told: Promise<void> = Promise.resolve();
  const examination = await examineImage(
    { file, header },
    {
      ...options,
      streamFacts: false,
      snapshots: true,
      onBroken: ({ guestOffset, hostOffset, snapshot, error }) => {
        const finding = {
          kind: 'payload',
          guestOffset,
          hostOffset,
          snapshot,
          reason: error.message,
        } as const;
        told = told.then(() => onFinding(finding));
      },
    },
  );
  await told;
  return { examined: examination.clusters.compressed, broken: examination.broken };
}
