/** Sorts the findings of an analysis by the repair that they need. Memory does not grow with the findings. */
import { analyse } from './analysis.js';
import type { CheckedImage } from './checked-image.js';
import { type CheckTotals, type Finding, type ImagePart, unreadTable } from './findings.js';
import { RefcountBlocks } from './repair-refcounts.js';

/** Most suspect tables remembered; with more, all tables are suspect. */
const MOST_SUSPECTS = 65536;

/** Host clusters that the repair has created or will free, `to` excluded. They are not part of the findings. */
export interface ClusterRange {
  readonly from: number;
  readonly to: number;
}

export function isOneOf(ranges: readonly ClusterRange[], cluster: number): boolean {
  return ranges.some(({ from, to }) => cluster >= from && cluster < to);
}

export interface RepairSurvey {
  readonly totals: CheckTotals;
  /** Corruptions other than copied flags, which follow from refcounts. */
  readonly corruptions: number;
  readonly leaks: number;
  /** Refcounts lower than the references. */
  readonly tooLow: number;
  readonly tooHigh: number;
  readonly copiedFlags: number;
  /** L2 entries that can be repaired on their own. */
  readonly entries: number;
  /** The refcount table or a block is invalid, or a cluster in use has no block. */
  readonly needsNewRefcounts: boolean;
  readonly suspects: Suspects;
  /** The first table that is partly or completely unreadable. Its references are unknown. */
  readonly unreadTable: ImagePart | undefined;
  /** The refcount table or a block lies partly or completely outside the file. */
  readonly lacksRefcounts: boolean;
  /**
   * The file ends before a part that it refers to. A longer file would have zeros there, and no check would notice.
   */
  readonly isCut: boolean;
  /** Number of the first cluster after the file and all references. */
  readonly end: number;
}

interface SurveyOptions {
  /** Clusters of the repair itself. */
  readonly own?: readonly ClusterRange[] | undefined;
  readonly onFinding?: ((finding: Finding) => void | Promise<void>) | undefined;
  readonly onShare?: ((share: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly windowClusters?: number | undefined;
}

/** @throws Qcow2cError as `analyse` */
export async function survey(image: CheckedImage, options: SurveyOptions = {}): Promise<RepairSurvey> {
  const { own = [], onFinding, onShare, signal, windowClusters } = options;
  const { file, header, geometry } = image;
  const blocks = new RefcountBlocks(image);
  const suspects = new Suspects(geometry.clusterSize);
  /** Suspects with faults other than a file that is too short. */
  const garbled = new Suspects(geometry.clusterSize);
  const found = { corruptions: 0, leaks: 0, tooLow: 0, tooHigh: 0, copiedFlags: 0, entries: 0 };
  let needsNewRefcounts = false;
  let lacksRefcounts = false;
  let isCut = false;
  let unread: ImagePart | undefined;
  // No file is longer than its disk and tables, and the disk once more for snapshots.
  const farthest = file.size + 2 * header.virtualSize + 2 ** 30;

  const sort = async (finding: Finding): Promise<void> => {
    unread ??= unreadTable(finding);
    switch (finding.kind) {
      case 'refcount': {
        const isTooLow = finding.found < BigInt(finding.expected);
        if (isTooLow) found.tooLow += 1;
        else found.tooHigh += 1;
        if (isTooLow && finding.found === 0n && (await blocks.find(finding.cluster)) === undefined) {
          needsNewRefcounts = true;
        }
        if (isOneOf(own, finding.cluster)) return;
        if (isTooLow) found.corruptions += 1;
        else found.leaks += 1;
        break;
      }
      case 'copied-flag-cluster':
      case 'copied-flag-l2-table':
        found.copiedFlags += 1;
        return;
      case 'refcount-unreadable':
        needsNewRefcounts = true;
        break;
      case 'refcount-table-reserved-bits':
      case 'refcount-block-unaligned':
      case 'refcount-block-outside':
      case 'refcount-block-shared':
        needsNewRefcounts = true;
        lacksRefcounts ||= finding.kind === 'refcount-block-outside';
        found.corruptions += 1;
        break;
      case 'refcount-block-unusable':
        break;
      case 'past-end':
      case 'cut-short':
        if (finding.part === 'refcount table' || finding.part === 'refcount block') {
          needsNewRefcounts = true;
          lacksRefcounts = true;
        } else if (Number(finding.offset + finding.size) <= farthest) {
          isCut ||= finding.at === undefined || !garbled.has(finding.at);
        }
        if (finding.kind === 'past-end' && finding.at !== undefined) suspects.add(finding.at);
        found.corruptions += 1;
        break;
      default:
        found.corruptions += 1;
        if (isRepairableEntry(finding)) found.entries += 1;
        else if ('at' in finding && finding.at !== undefined) {
          suspects.add(finding.at);
          garbled.add(finding.at);
        }
    }
    await onFinding?.(finding);
  };
  const totals = await analyse(image, { onFinding: sort, onShare, signal, windowClusters });
  const end = Math.ceil(Math.max(file.size, totals.imageEndOffset) / geometry.clusterSize);
  return { totals, ...found, needsNewRefcounts, suspects, unreadTable: unread, lacksRefcounts, isCut, end };
}

/**
 * Whether an entry can be repaired on its own: a zero cluster does not need its host cluster, and bit 63 has no
 * meaning for a compressed one. QEMU repairs only the first kind.
 */
export function isRepairableEntry(finding: Finding): boolean {
  if (finding.kind === 'compressed-copied-flag') return true;
  return finding.kind === 'cluster-unaligned' && finding.fixed !== undefined;
}

/** Tables with an invalid entry. They may not be tables at all, but the target of a wrong offset. */
export class Suspects {
  readonly #clusterSize: number;
  readonly #clusters = new Set<number>();
  #areAll = false;

  constructor(clusterSize: number) {
    this.#clusterSize = clusterSize;
  }

  /** @param at offset of the entry in the file, in bytes */
  add(at: number): void {
    if (this.#clusters.size === MOST_SUSPECTS) this.#areAll = true;
    else this.#clusters.add(Math.floor(at / this.#clusterSize));
  }

  /** Whether the table with the entry at `at`, in bytes of the file, is suspect. */
  has(at: number): boolean {
    return this.#areAll || this.#clusters.has(Math.floor(at / this.#clusterSize));
  }
}
