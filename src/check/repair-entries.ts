/**
 * Repairs entries of L1 and L2 tables in place. A table that may not be one stays unchanged: a wrong offset may lead
 * to guest data.
 */
import { writeU64 } from '../qcow2/be64.js';
import { COPIED } from '../qcow2/entry-bits.js';
import { type AnalysisOptions, analyse } from './analysis.js';
import type { CheckedImage } from './checked-image.js';
import type { Finding } from './findings.js';
import { RefcountReader } from './refcount-table.js';
import type { RepairFile } from './repair-file.js';
import type { Suspects } from './repair-survey.js';

export interface EntryRepair {
  readonly suspects: Suspects;
  /** Called for each finding, and whether it is being repaired. */
  readonly onFinding: (finding: Finding, repairing: boolean) => void | Promise<void>;
  readonly options: Pick<AnalysisOptions, 'signal' | 'windowClusters'>;
}

/**
 * Repairs L2 entries that can be repaired on their own, and makes the changes durable. This only removes references.
 * Rule: fix_l2_entry_by_zero in QEMU.
 * @returns how many were repaired
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

/** The value of an entry that can be repaired on its own: a zero cluster loses its host cluster. */
function asRepaired(finding: Finding) {
  if (finding.kind === 'compressed-copied-flag') {
    return { at: finding.at, entry: finding.entry & ~COPIED, subclusters: undefined };
  }
  if (finding.kind !== 'cluster-unaligned' || finding.fixed === undefined) return undefined;
  return { at: finding.at, ...finding.fixed };
}

/**
 * Repairs copied flags from the refcounts, which must be correct already, and makes the changes durable.
 * @param mayRepair false: flags are only reported
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
  /** Whether only one L1 entry refers to the table, so that a change affects no other. */
  const isReferredToOnce = async (at: number): Promise<boolean> => {
    const found = await refcounts.refcountOf(Math.floor(at / clusterSize));
    return 'value' in found && found.value === 1n;
  };
  let repaired = 0;
  const repair = async (finding: Finding): Promise<void> => {
    if (finding.kind !== 'copied-flag-cluster' && finding.kind !== 'copied-flag-l2-table') return;
    const { at, fixed } = finding;
    // If an L1 table is too long, any bytes may be in its last entries.
    const isSound = finding.kind === 'copied-flag-cluster' && !suspects.has(at);
    const isTable = at >= clusterSize && (isSound || (await isReferredToOnce(at)));
    if (!mayRepair || !isTable) return onFinding(finding, false);
    // An L2 table with two L1 entries is visited twice.
    if (!(await changeEntry(file, at, fixed))) return;
    repaired += 1;
    await onFinding(finding, true);
  };
  await analyse(image, { ...options, onFinding: repair });
  await file.sync();
  return repaired;
}

/**
 * @param subclusters the second number of an extended entry; undefined: unchanged
 * @returns whether the entry changed
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
