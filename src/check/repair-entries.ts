/**
 * Entries of L1 and L2 tables put right where they are. A table that may be none is left alone: what a wrong offset
 * leads to may be a guest's data.
 */
import { writeU64 } from '../qcow2/be64.js';
import { type AnalysisOptions, analyse } from './analysis.js';
import type { CheckedImage } from './checked-image.js';
import type { Finding } from './findings.js';
import { RefcountReader } from './refcount-table.js';
import type { RepairFile } from './repair-file.js';
import type { Suspects } from './repair-survey.js';

const COPIED = 1n << 63n;

export interface EntryRepair {
  readonly suspects: Suspects;
  /** Told of each finding, and whether it is repaired. */
  readonly onFinding: (finding: Finding, repairing: boolean) => void | Promise<void>;
  readonly options: Pick<AnalysisOptions, 'signal' | 'windowClusters'>;
}

/**
 * Repairs what can be repaired in an L2 entry without a look at anything else, and makes that durable. References can
 * only become fewer by it. Rule: fix_l2_entry_by_zero in QEMU.
 * @returns how many were
 */
export async function repairEntries(
  file: RepairFile,
  image: CheckedImage,
  { suspects, onFinding, options }: EntryRepair,
): Promise<number> {
  let repaired = 0;
  const repair = async (finding: Finding): Promise<void> => {
    const repairable = asRepaired(finding);
    if (repairable === undefined) return;
    const { at, entry, subclusters } = repairable;
    const isTable = at >= image.geometry.clusterSize && !suspects.has(at);
    if (!isTable) return onFinding(finding, false);
    if (!(await changeEntry(file, at, entry, subclusters))) return;
    repaired += 1;
    await onFinding(finding, true);
  };
  await analyse(image, { ...options, onFinding: repair });
  await file.sync();
  return repaired;
}

/** What an entry must be that can be made right by itself: a zero cluster does without its host cluster. */
function asRepaired(finding: Finding) {
  if (finding.kind === 'compressed-copied-flag') {
    return { at: finding.at, entry: finding.entry & ~COPIED, subclusters: undefined };
  }
  if (finding.kind !== 'cluster-unaligned' || finding.fixed === undefined) return undefined;
  return { at: finding.at, ...finding.fixed };
}

/**
 * Makes the copied flags say what the refcounts say, which must be right already, and makes that durable.
 * @param mayRepair otherwise the flags are only told of
 * @returns how many were repaired
 */
export async function repairCopiedFlags(
  file: RepairFile,
  image: CheckedImage,
  mayRepair: boolean,
  { suspects, onFinding, options }: EntryRepair,
): Promise<number> {
  const refcounts = new RefcountReader(image, () => {});
  const { clusterSize } = image.geometry;
  /** Whether nothing but one L1 entry leads there: then nothing else can be hurt. */
  const isReferredToOnce = async (at: number): Promise<boolean> => {
    const found = await refcounts.refcountOf(Math.floor(at / clusterSize));
    return 'value' in found && found.value === 1n;
  };
  let repaired = 0;
  const repair = async (finding: Finding): Promise<void> => {
    if (finding.kind !== 'copied-flag-cluster' && finding.kind !== 'copied-flag-l2-table') return;
    const { at, fixed } = finding;
    // What an L1 table that is too long takes for its entries may be anything.
    const isSound = finding.kind === 'copied-flag-cluster' && !suspects.has(at);
    const isTable = at >= clusterSize && (isSound || (await isReferredToOnce(at)));
    if (!mayRepair || !isTable) return onFinding(finding, false);
    // An L2 table that two L1 entries name is gone through twice.
    if (!(await changeEntry(file, at, fixed))) return;
    repaired += 1;
    await onFinding(finding, true);
  };
  await analyse(image, { ...options, onFinding: repair });
  await file.sync();
  return repaired;
}

/**
 * @param subclusters the second number of an extended entry; undefined: it stays
 * @returns whether the entry was another
 */
function changeEntry(
  file: RepairFile,
  at: number,
  entry: bigint,
  subclusters?: bigint | undefined,
): Promise<boolean> {
  return file.change(at, subclusters === undefined ? 8 : 16, (bytes) => {
    writeU64(bytes, 0, entry);
    if (subclusters !== undefined) writeU64(bytes, 8, subclusters);
  });
}
