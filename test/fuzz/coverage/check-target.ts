/** The check of an image: counted in one window and in many, and compared with other readers of the refcounts. */
import { type AnalysisOptions, analyse } from '../../../src/check/analysis.js';
import { type CheckedImage, readCheckedImage } from '../../../src/check/checked-image.js';
import { type CheckTotals, type Finding, weightOf } from '../../../src/check/findings.js';
import { RefcountReader } from '../../../src/check/refcount-table.js';
import type { ErrorCode } from '../../../src/errors.js';
import { refcountedClusters } from '../../../src/qcow2/refcounted-clusters.js';
import { MemoryImage } from './memory-image.js';
import { attempt, type Outcome, promise, promiseSame } from './promises.js';

const REFUSED: readonly ErrorCode[] = ['ERR_FORMAT', 'ERR_CORRUPT', 'ERR_UNSUPPORTED'];
/** Images that take long to check because of the sizes in their headers. */
const MOST_L1_ENTRIES = 4096;
const MOST_SNAPSHOTS = 8;
const MOST_REFCOUNT_TABLE = 2 ** 17;
/** Counters of the smallest window. */
const FEW_CLUSTERS = 8;

interface Analysis {
  readonly totals: CheckTotals;
  readonly findings: readonly Finding[];
}

export async function fuzz(input: Uint8Array): Promise<void> {
  const file = MemoryImage.folded(input);
  const { value: image } = await attempt(REFUSED, () => readCheckedImage(file));
  if (image === undefined || isLarge(image)) return;
  file.allow(readsOf(image), Number.POSITIVE_INFINITY);
  const whole = await analysed(image);
  if (whole.value === undefined) return;
  const { totals, findings } = whole.value;
  const count = (weight: string) => findings.filter((finding) => weightOf(finding) === weight).length;
  promiseSame(
    [totals.corruptions, totals.leaks, totals.checkErrors],
    [count('corruption'), count('leak'), count('check-error')],
    'the totals are those of the findings',
  );
  const windows = Math.ceil((file.size / image.geometry.clusterSize + 1) / FEW_CLUSTERS);
  file.allow(windows * readsOf(image), Number.POSITIVE_INFINITY);
  const parts = await analysed(image, { windowClusters: FEW_CLUSTERS });
  promise(parts.value !== undefined, 'the check in one window equals the check in many', parts.error);
  promiseSame(parts.value.totals, totals, 'many windows come to the same');
  const sorted = (found: readonly Finding[]) => found.map((finding) => JSON.stringify(finding, plain)).sort();
  promiseSame(sorted(parts.value.findings), sorted(findings), 'many windows find the same');
  promiseStatistics(file, image, totals);
  await promiseRefcounts(file, image);
}

/** Whether going through its tables takes long only because they are as large as they say. */
export function isLarge({ header, geometry }: CheckedImage): boolean {
  return (
    header.l1Entries > MOST_L1_ENTRIES ||
    header.snapshotCount > MOST_SNAPSHOTS ||
    header.refcountTableClusters * geometry.clusterSize > MOST_REFCOUNT_TABLE
  );
}

/**
 * How often an analysis may read in each window: every L2 table of every state once, those of the disk twice, each
 * entry of the snapshot table, the bitmaps' tables and refcount blocks through windows of 64 KiB.
 */
function readsOf({ file, header }: CheckedImage): number {
  const pieces = Math.ceil(file.size / 65536) + 1;
  const tables = (header.snapshotCount + 2) * (MOST_L1_ENTRIES + pieces);
  const bitmaps = (header.snapshotCount + 1) * 4 + 64 * pieces + file.size / 32;
  return tables + bitmaps + 2 * (file.size / 512) + MOST_REFCOUNT_TABLE / 8;
}

export async function analysed(
  image: CheckedImage,
  options: AnalysisOptions = {},
): Promise<Outcome<Analysis>> {
  const findings: Finding[] = [];
  return attempt(['ERR_CORRUPT', 'ERR_UNSUPPORTED'], async () => {
    const totals = await analyse(image, { ...options, onFinding: (finding) => void findings.push(finding) });
    return { totals, findings };
  });
}

function plain(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value;
}

/** The compressed clusters of the disk, counted by their flag. */
function promiseStatistics(file: MemoryImage, image: CheckedImage, totals: CheckTotals): void {
  const { header, geometry, hasDataFile } = image;
  promise(totals.compressedClusters <= totals.fragmentedClusters, 'every compressed cluster is a fragment');
  promise(totals.fragmentedClusters <= totals.allocatedClusters, 'a fragment is allocated');
  promise(totals.imageEndOffset <= file.size + 2 * geometry.clusterSize, 'the image ends with its file');
  if (hasDataFile || geometry.extendedL2) return;
  let compressed = 0;
  for (let index = 0; index < header.l1Entries; index += 1) {
    const at = header.l1Offset + index * 8;
    if (at + 8 > file.size) break;
    // Like QEMU, whose check takes offset 0 for a table if the entry has any bit.
    const entry = file.readBigUInt64BE(at);
    const table = Number(entry & 0x00fffffffffffe00n);
    if (entry === 0n || table >= file.size) continue;
    const entries = Buffer.alloc(geometry.clusterSize);
    file.copy(table, entries);
    for (let first = 0; first < entries.length; first += 8) {
      if (((entries[first] ?? 0) & 0x40) !== 0) compressed += 1;
    }
  }
  promiseSame(totals.compressedClusters, compressed, 'as many compressed clusters as there are such entries');
}

/** Two readers of the refcounts, and no third: a cluster is used where its refcount is not 0. */
async function promiseRefcounts(file: MemoryImage, image: CheckedImage): Promise<void> {
  file.allow(Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY);
  const reader = new RefcountReader(image, () => {});
  const clusters = Math.ceil(file.size / image.geometry.clusterSize);
  const used = new Set<number>();
  const { error } = await attempt(['ERR_CORRUPT'], async () => {
    for await (const { first, count, isUsed } of refcountedClusters(file, image.header)) {
      promise(first + count <= clusters, 'refcounts are of clusters of the file', first, count);
      for (let cluster = first; cluster < first + count; cluster += 1) if (isUsed(cluster)) used.add(cluster);
    }
  });
  if (error !== undefined) return;
  const together = new Uint32Array(clusters);
  await reader.read(0, together);
  for (let cluster = 0; cluster < clusters; cluster += 1) {
    const found = await reader.refcountOf(cluster);
    if ('reason' in found) continue;
    promiseSame(used.has(cluster), found.value !== 0n, `whether cluster ${cluster} is used`);
    if (found.value < 0xffffffffn)
      promiseSame(BigInt(together[cluster] ?? 0), found.value, `the refcount of ${cluster}`);
  }
}
