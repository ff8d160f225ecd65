/**
 * The check of an image without repair and without its data. It counts the references to every host cluster,
 * compares them with the refcounts, and compares these with the copied flags. Used by `check` and by its repair,
 * before and after. Rules and verdicts: qcow2_co_check in QEMU 7.2.
 *
 * The image is read once for each window of host clusters. With one window (WINDOW_CLUSTERS), findings come in
 * QEMU's order; with more, in the order of the windows.
 */
import { Qcow2cError, quoted } from '../errors.js';
import { MAX_SNAPSHOTS } from '../qcow2/header.js';
import { HEADER_AT } from '../qcow2/header-layout.js';
import { snapshotEntries, snapshotTableReader } from '../qcow2/snapshot-entry.js';
import { refuseAbort } from '../workers/pipeline.js';
import { type CheckedImage, diskClusters } from './checked-image.js';
import { checkCopiedFlags } from './copied-flags.js';
import { CutPayloads } from './cut-payload.js';
import { type CheckTotals, type Finding, type OnFinding, unreadTable, weightOf } from './findings.js';
import { compareRefcounts } from './refcount-comparison.js';
import { RefcountReader } from './refcount-table.js';
import { ReferenceCounters, WINDOW_CLUSTERS } from './reference-counters.js';
import { countReferences } from './references.js';

/** QEMU's bound: INT_MAX host clusters. */
const MAX_HOST_CLUSTERS = 2 ** 31 - 1;

export interface AnalysisOptions {
  readonly onFinding?: OnFinding | undefined;
  /** Called with the references counted in each window, before they are compared with the refcounts. */
  readonly onCounted?: ((counters: ReferenceCounters) => void | Promise<void>) | undefined;
  /** Called with the part of the work that is done, 0 to 1. */
  readonly onShare?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Host clusters of a window, a multiple of 8; tests set it. */
  readonly windowClusters?: number | undefined;
}

/**
 * @throws Qcow2cError ERR_CORRUPT where QEMU gives up too ("Check failed"): a snapshot table or bitmaps that cannot
 *   be
 *   read; ERR_LIMIT for too many host clusters; ERR_IO, ERR_ABORTED. Findings may have been reported before.
 */
export async function analyse(image: CheckedImage, options: AnalysisOptions = {}): Promise<CheckTotals> {
  const { onFinding, onCounted, onShare, signal, windowClusters = WINDOW_CLUSTERS } = options;
  const { file, geometry } = image;
  const totals = { corruptions: 0, leaks: 0, checkErrors: 0 };
  let needsRebuild = false;
  let unreadTables = 0;
  const cutPayloads = new CutPayloads(image);
  const report = async (finding: Finding): Promise<void> => {
    const isOfPayload = finding.kind === 'cut-short' && finding.part === 'compressed cluster';
    if (isOfPayload) {
      refuseAbort(signal);
      if (await cutPayloads.isWhole(finding)) return;
    }
    const weight = weightOf(finding);
    if (weight === 'corruption') totals.corruptions += 1;
    else if (weight === 'leak') totals.leaks += 1;
    else if (weight === 'check-error') totals.checkErrors += 1;
    needsRebuild ||= REBUILT_FOR.has(finding.kind);
    if (unreadTable(finding) !== undefined) unreadTables += 1;
    await onFinding?.(finding);
  };
  await checkSnapshotTable(image, report);
  if (Math.ceil(file.size / geometry.clusterSize) > MAX_HOST_CLUSTERS) {
    throw new Qcow2cError('ERR_LIMIT', `Check failed: ${quoted(file.name)} has more than 2^31 - 1 clusters`, {
      file: file.name,
    });
  }

  const findings: Finding[] = [];
  const flush = () => (findings.length === 0 ? undefined : reportAll());
  const reportAll = async (): Promise<void> => {
    for (const finding of findings.splice(0)) await report(finding);
  };
  const { clusterSize, refcountMax } = geometry;
  const counters = new ReferenceCounters(
    { size: file.size, end: image.end },
    clusterSize,
    refcountMax,
    windowClusters,
    findings,
  );
  const refcounts = new RefcountReader(image, report);
  const statistics = { allocated: 0, fragmented: 0, compressed: 0 };
  let highest = 0;
  let steps = 0;
  const share = (part: number) => {
    const windows = Math.ceil(counters.clusters / counters.counts.length);
    onShare?.((steps + part) / (2 * windows));
  };
  do {
    await countReferences(image, { counters, findings, statistics, flush, signal, onShare: share });
    steps += 1;
    await onCounted?.(counters);
    const compared = await compareRefcounts(counters, refcounts, report, signal);
    highest = Math.max(highest, compared.highest);
    needsRebuild ||= compared.needsRebuild;
    const isLast = counters.end === counters.clusters;
    await checkCopiedFlags(image, counters, refcounts, isLast, report, signal, share);
    steps += 1;
  } while (counters.nextWindow());
  share(0);

  return {
    ...totals,
    totalClusters: diskClusters(image),
    allocatedClusters: statistics.allocated,
    fragmentedClusters: statistics.fragmented,
    compressedClusters: statistics.compressed,
    imageEndOffset: (highest + 1) * clusterSize,
    needsRebuild,
    unreadTables,
  };
}

/**
 * Counts the references of an image without reporting findings.
 * @param onCounted called with the counters of each window, in ascending order
 * @throws Qcow2cError as `analyse`
 */
export async function countWindows(
  image: CheckedImage,
  onCounted: (counters: ReferenceCounters) => void | Promise<void>,
  { signal, windowClusters = WINDOW_CLUSTERS }: Pick<AnalysisOptions, 'signal' | 'windowClusters'>,
): Promise<void> {
  const findings: Finding[] = [];
  const flush = async () => void findings.splice(0);
  const { clusterSize, refcountMax } = image.geometry;
  const counters = new ReferenceCounters(
    { size: image.file.size, end: image.end },
    clusterSize,
    refcountMax,
    windowClusters,
    findings,
  );
  const statistics = { allocated: 0, fragmented: 0, compressed: 0 };
  do {
    await countReferences(image, { counters, findings, statistics, flush, signal, onShare: () => {} });
    await onCounted(counters);
  } while (counters.nextWindow());
}

/** Findings for which QEMU discards the image's refcount table and blocks. */
const REBUILT_FOR: ReadonlySet<Finding['kind']> = new Set<Finding['kind']>([
  'refcount-table-reserved-bits',
  'refcount-block-unaligned',
  'refcount-block-shared',
]);

/** Checks the snapshot table first, on its own (qcow2_check_read_snapshot_table in QEMU). */
async function checkSnapshotTable(
  { file, header }: CheckedImage,
  report: (finding: Finding) => Promise<void>,
): Promise<void> {
  if (header.snapshotCount > MAX_SNAPSHOTS) {
    const expected = `at most ${MAX_SNAPSHOTS}`;
    throw new Qcow2cError(
      'ERR_CORRUPT',
      `Check failed: ${quoted(file.name)} has ${header.snapshotCount} snapshots, expected ${expected}; ` +
        "'qcow2c check -r all' removes those past them",
      { file: file.name, offset: HEADER_AT.snapshotCount, expected, found: header.snapshotCount },
    );
  }
  let index = 0;
  for await (const { id, name, diskSize } of snapshotEntries(snapshotTableReader(file, header), header)) {
    if (header.version >= 3 && diskSize === undefined) {
      await report({ kind: 'snapshot-incomplete', index, id, name });
    }
    index += 1;
  }
}
