/**
 * The findings of a check: each kind with its place and the data for its repair. Made by the analysis, worded by
 * finding-words.ts. The kinds are those of qcow2_check_refcounts in QEMU (block/qcow2-refcount.c), and those of
 * damaged compressed data.
 */

/** Place and value of a table entry in the image. */
interface EntryPlace {
  /** Offset of the entry in the file, in bytes. */
  readonly at: number;
  /** Its present value, without the second number of an extended L2 entry. */
  readonly entry: bigint;
}

/** A host cluster's refcount differs from the number of references to it. */
export interface WrongRefcount {
  readonly kind: 'refcount';
  readonly cluster: number;
  /** The refcount in the image; up to 64 bits. If it is higher than expected, the cluster leaks. */
  readonly found: bigint;
  readonly expected: number;
}

/** Bit 63 of an entry of the active L1 table disagrees with the refcount of its L2 table. */
interface WrongCopiedFlagOfTable extends EntryPlace {
  readonly kind: 'copied-flag-l2-table';
  readonly index: number;
  /** The refcount of the L2 table in the image. */
  readonly refcount: bigint;
  /** The correct value of the entry. */
  readonly fixed: bigint;
}

/** Bit 63 of an L2 entry of the active L1 table disagrees with the refcount of its cluster. */
interface WrongCopiedFlagOfCluster extends EntryPlace {
  readonly kind: 'copied-flag-cluster';
  readonly refcount: bigint;
  readonly fixed: bigint;
}

/** An L2 entry names a host cluster that is not aligned to a cluster. */
interface UnalignedCluster extends EntryPlace {
  readonly kind: 'cluster-unaligned';
  /** The repaired value, if the guest loses no data: a zero cluster without a host cluster. */
  readonly fixed:
    | undefined
    | {
        readonly entry: bigint;
        /** The entry's second number, in an image with extended L2 entries. */
        readonly subclusters: bigint | undefined;
      };
}

/** An entry of the refcount table that QEMU does not accept as a refcount block. */
interface WrongRefcountTableEntry extends EntryPlace {
  readonly kind: 'refcount-table-reserved-bits' | 'refcount-block-unaligned' | 'refcount-block-outside';
  readonly index: number;
}

/** A second reference to the host cluster of a refcount block. */
interface SharedRefcountBlock {
  readonly kind: 'refcount-block-shared';
  /** Index of the entry in the refcount table. */
  readonly index: number;
  /** References so far, including this one. */
  readonly references: number;
}

/** A place in the snapshot table. */
interface SnapshotPlace {
  /** Index of the entry in the snapshot table. */
  readonly index: number;
  readonly id: string;
  readonly name: string;
}

/**
 * A compressed cluster that QEMU cannot inflate (`payload`), or inflates although the payload does not yield exactly
 * one cluster (`odd-payload`, not a corruption); or any cluster whose bytes cannot be read (`unreadable`). QEMU's
 * check finds none of these.
 */
export interface DamagedCluster {
  readonly kind: 'payload' | 'odd-payload' | 'unreadable';
  /** Bytes. */
  readonly guestOffset: number;
  readonly hostOffset: number;
  /** Identifier of the snapshot with the cluster; undefined: in the image's present state. */
  readonly snapshot: string | undefined;
  readonly reason: string;
}

/** A part of an image that has references or is referred to, as named in messages. */
export type ImagePart =
  | 'header'
  | 'L1 table'
  | 'L2 table'
  | 'data cluster'
  | 'compressed cluster'
  | 'snapshot table'
  | 'refcount table'
  | 'refcount block'
  | 'LUKS header'
  | 'bitmap directory'
  | 'bitmap table'
  | 'bitmap cluster';

/** A part of the image that lies partly or completely outside the file. */
interface Missing {
  readonly part: ImagePart;
  /** Offset of the part in the file, in bytes; in forged entries it may exceed a number. */
  readonly offset: bigint;
  /** Bytes of the part. */
  readonly size: bigint;
  /** Offset in the file of the L2 entry that refers to it, in bytes; undefined for other references. */
  readonly at: number | undefined;
}

/** The part ends a cluster or more past the end of the file. QEMU reports this too. It is not counted. */
interface PastEnd extends Missing {
  readonly kind: 'past-end';
}

/**
 * The part ends less than a cluster past the end of the file. QEMU reads zeros there, and its check reports nothing.
 */
export interface CutShort extends Missing {
  readonly kind: 'cut-short';
  /** Bytes of the file. */
  readonly fileEnd: number;
}

export type Finding =
  | WrongRefcount
  | WrongCopiedFlagOfTable
  | WrongCopiedFlagOfCluster
  | UnalignedCluster
  | WrongRefcountTableEntry
  | SharedRefcountBlock
  | DamagedCluster
  | PastEnd
  | CutShort
  /** More references to a host cluster than a refcount can hold. `offset`: of the cluster, in bytes. */
  | { readonly kind: 'overflow'; readonly offset: number }
  /** Of the active L1 table or a snapshot's. */
  | (EntryPlace & { readonly kind: 'l1-reserved-bits' | 'l2-table-unaligned' })
  | (EntryPlace & {
      readonly kind:
        | 'l2-reserved-bits'
        | 'compressed-copied-flag'
        | 'subclusters-contradictory'
        | 'subclusters-without-cluster';
    })
  /** `index`: of the entry in its L2 table. */
  | (EntryPlace & {
      readonly kind: 'compressed-in-data-file' | 'compressed-subclusters';
      readonly index: number;
    })
  | { readonly kind: 'snapshots-with-data-file'; readonly count: number }
  | (SnapshotPlace & { readonly kind: 'snapshot-l1-unaligned'; readonly l1Offset: bigint })
  | (SnapshotPlace & { readonly kind: 'snapshot-l1-too-large'; readonly l1Entries: number })
  /** In a version 3 image, every entry of the snapshot table must have 16 bytes of extra data. */
  | (SnapshotPlace & { readonly kind: 'snapshot-incomplete' })
  /** A cluster with an unknown refcount. */
  | { readonly kind: 'refcount-unreadable'; readonly cluster: number; readonly reason: string }
  /** Reported once, before the clusters concerned. `index`: of the entry in the refcount table. */
  | { readonly kind: 'refcount-block-unusable'; readonly index: number; readonly offset: bigint };

/** Called for each finding in turn; the check waits until it returns. */
export type OnFinding = (finding: Finding) => void | Promise<void>;

/** The total that a finding counts in. */
type Weight = 'corruption' | 'leak' | 'check-error' | 'none';

export function weightOf(finding: Finding): Weight {
  switch (finding.kind) {
    case 'refcount':
      return finding.found > BigInt(finding.expected) ? 'leak' : 'corruption';
    case 'refcount-unreadable':
      return 'check-error';
    case 'refcount-block-unusable':
      return 'none';
    default:
      return 'corruption';
  }
}

/** Tables that refer to host clusters. The refcount table and its blocks do not, because they follow from these. */
const TABLES_OF_REFERENCES: ReadonlySet<ImagePart> = new Set<ImagePart>([
  'L1 table',
  'L2 table',
  'snapshot table',
  'bitmap directory',
  'bitmap table',
]);

/**
 * Returns the table that a finding reports as partly or completely unreadable. Clusters that seem to leak may then
 * be in use.
 * @returns undefined when every reference is known in spite of the finding
 */
export function unreadTable(finding: Finding): ImagePart | undefined {
  switch (finding.kind) {
    case 'past-end':
    case 'cut-short':
      return TABLES_OF_REFERENCES.has(finding.part) ? finding.part : undefined;
    case 'snapshot-l1-unaligned':
    case 'snapshot-l1-too-large':
      return 'L1 table';
    case 'l2-table-unaligned':
      return 'L2 table';
    default:
      return undefined;
  }
}

/** The results of an analysis. */
export interface CheckTotals {
  readonly corruptions: number;
  readonly leaks: number;
  /** Errors of the check itself. */
  readonly checkErrors: number;
  /** Clusters of the virtual disk. */
  readonly totalClusters: number;
  /** Of these, clusters allocated in the image's present state, whatever they hold. */
  readonly allocatedClusters: number;
  /** Clusters that do not directly follow the previous one of the same L2 table. Every compressed cluster counts. */
  readonly fragmentedClusters: number;
  readonly compressedClusters: number;
  /** End of the last host cluster with a refcount or a reference, in bytes. */
  readonly imageEndOffset: number;
  /** Whether refcounts can only be repaired by a new refcount table with new blocks. */
  readonly needsRebuild: boolean;
  /** Tables that are partly or completely unreadable (`unreadTable`): clusters that seem to leak may be in use. */
  readonly unreadTables: number;
}
