/** Checks the compressed data of an analysed image. QEMU has no such check. */
import { CorruptPayload } from '../engines/corrupt-payload.js';
import { Qcow2cError } from '../errors.js';
import type { OpenedFile } from '../image/source.js';
import type { Header } from '../qcow2/header.js';
import { snapshotEntries, snapshotTableReader } from '../qcow2/snapshot-entry.js';
import type { Progress } from '../workers/progress.js';
import type { CheckedImage } from './checked-image.js';
import type { OnFinding } from './findings.js';
import type { CheckResult } from './options.js';

interface DataCheckOptions {
  readonly threads: number | undefined;
  readonly memory: number | undefined;
  /** Bytes used by the analysis. */
  readonly held: number;
  readonly workerEntry: URL | undefined;
  readonly onFinding: OnFinding;
  readonly onProgress: (progress: Progress) => void;
  readonly signal: AbortSignal | undefined;
}

/**
 * Inflates every compressed cluster of the image and its snapshots.
 * @param file the image's; workers read it through its descriptor
 * @returns how many were inflated, and how many clusters, or tables on the way to them, are broken
 * @throws Qcow2cError as `examineImage`
 */
export async function checkData(
  { header }: CheckedImage,
  file: OpenedFile,
  { onFinding, ...options }: DataCheckOptions,
): Promise<NonNullable<CheckResult['data']>> {
  const snapshotCount = await readableSnapshots(file, header);
  // Loaded on demand, so that other checks start faster.
  const { examineImage } = await import('../examine/examine-image.js');
  const { examined, broken } = await examineImage(
    { file, header: { ...header, snapshotCount } },
    {
      ...options,
      streamFacts: false,
      snapshots: true,
      onBroken: ({ guestOffset, hostOffset, snapshot, error, isReadable }) => {
        const place = { guestOffset, hostOffset, snapshot };
        return error.cause instanceof CorruptPayload
          ? onFinding({
              kind: isReadable ? 'odd-payload' : 'payload',
              ...place,
              reason: error.cause.reason,
            })
          : onFinding({ kind: 'unreadable', ...place, reason: error.message });
      },
    },
  );
  return { examined, broken };
}

/** Counts the entries of the snapshot table inside the file; the analysis has reported its faults. */
async function readableSnapshots(file: OpenedFile, header: Header): Promise<number> {
  let count = 0;
  try {
    for await (const _ of snapshotEntries(snapshotTableReader(file, header), header)) count += 1;
  } catch (error) {
    if (!(error instanceof Qcow2cError && error.code === 'ERR_CORRUPT')) throw error;
  }
  return count;
}
