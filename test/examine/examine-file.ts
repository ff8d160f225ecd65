/** Examines an image file with this checkout's code and the built worker. */
import { inject } from 'vitest';
import type { BrokenCluster } from '../../src/examine/examination-findings.js';
import { type Examination, type ExamineOptions, examineImage } from '../../src/examine/examine-image.js';
import { openImageFile } from '../../src/image/open-image-file.js';

const notBuilt = inject('notBuilt');
if (notBuilt !== undefined) throw new Error(notBuilt);

/** Threads run no TypeScript: the worker is the one that `npm run build` made. */
const WORKER = new URL('../../dist/worker.cjs', import.meta.url);

interface Examined extends Examination {
  /** In the order in which they were told. */
  readonly reports: readonly BrokenCluster[];
}

/** With two threads and all snapshots, unless `options` say something else. */
export async function examineFile(path: string, options: Partial<ExamineOptions> = {}): Promise<Examined> {
  const { file, qcow2 } = await openImageFile({ file: path, format: 'qcow2' }, { direct: false });
  const reports: BrokenCluster[] = [];
  try {
    const examination = await examineImage(qcow2!, {
      threads: 2,
      snapshots: true,
      streamFacts: false,
      workerEntry: WORKER,
      onBroken: (broken) => void reports.push(broken),
      ...options,
    });
    return { ...examination, reports };
  } finally {
    await file.close();
  }
}

/** Indices of the guest clusters that were reported. */
export function brokenClusters({ reports }: Examined, clusterSize: number): number[] {
  return reports.map(({ guestOffset }) => guestOffset / clusterSize);
}
