/**
 * What the check of an image can find wrong: each kind with where it is and what it takes to repair it. Made by
 * the analysis, put into words by finding-words.ts. The kinds are those of qcow2_check_refcounts in QEMU
 * (block/qcow2-refcount.c), and beyond them what is wrong with compressed data.
 */

/** An entry of a table in the image. */
export interface EntryPlace {
  /** Where the entry is in the file, in bytes. */
  readonly at: number;
  /** What it is now, without the second number of an extended L2 entry. */
  readonly entry: bigint;
}

/** The refcount that the image gives a host cluster is not how often the cluster is referred to. */
export interface WrongRefcount {
  readonly kind: 'refcount';
  readonly cluster: number;
  /** In the image; up to 64 bits. More than expected: the cluster leaks. */
  readonly found: bigint;
  readonly expected: number;
}

/** Bit 63 of an entry of the active L1 table does not say whether the L2 table's refcount is 1. */
export interface WrongCopiedFlagOfTable extends EntryPlace {
  readonly kind: 'copied-flag-l2-table';
  readonly index: number;
  /** Of the L2 table, in the image. */
  readonly refcount: bigint;
  /** What the entry must be. */
  readonly fixed: bigint;
}

/** The same of an entry of an L2 table of the active L1 table and the refcount of its cluster. */
export interface WrongCopiedFlagOfCluster extends EntryPlace {
  readonly kind: 'copied-flag-cluster';
  readonly refcount: bigint;
  readonly fixed: bigint;
}

/** An L2 entry names a host cluster that is not aligned to a cluster. */
export interface UnalignedCluster extends EntryPlace {
  readonly kind: 'cluster-unaligned';
  /** What the entry must be where the guest loses nothing by it: it reads as zeros, and no host cluster. */
  readonly fixed:
    | undefined
    | {
        readonly entry: bigint;
        /** The entry's second number, in an image with extended L2 entries. */
        readonly subclusters: bigint | undefined;
      };
}

/** A refcount table's entry that QEMU takes for no refcount block. */
export interface WrongRefcountTableEntry extends EntryPlace {
  readonly kind: 'refcount-table-reserved-bits' | 'refcount-block-unaligned' | 'refcount-block-outside';
  readonly index: number;
}

/** Another reference to the host cluster of a refcount block. */
export interface SharedRefcountBlock {
  readonly kind: 'refcount-block-shared';
  /** Of the entry in the refcount table. */
  readonly index: number;
  /** References so far, this one included. */
  readonly references: number;
}

/** A place in the snapshot table. */
export interface SnapshotPlace {
  /** Of the entry in the snapshot table. */
  readonly index: number;
  readonly id: string;
  readonly name: string;
}

/**
 * A compressed cluster whose payload QEMU does not read (`payload`) or reads although it is not one of exactly a cluster
 * (`odd-payload`, no corruption), or any cluster whose bytes cannot be had (`unreadable`). QEMU's check looks for none.
 */
export interface BrokenCluster {
  readonly kind: 'payload' | 'odd-payload' | 'unreadable';
  /** Bytes. */
  readonly guestOffset: number;
  readonly hostOffset: number;
  /** The identifier of the snapshot in which it was found; undefined: in the image's present state. */
  readonly snapshot: string | undefined;
  readonly reason: string;
}

/** A part of an image that refers to host clusters or is referred to, as messages name it. */
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

/** Something that the image refers to is not in the file, or not all of it. */
interface Missing {
  readonly part: ImagePart;
  /** Of the part in the file, in bytes; more than a number holds in forged entries. */
  readonly offset: bigint;
  /** Bytes of the part. */
  readonly size: bigint;
  /** Where the L2 entry that refers to it is in the file, in bytes; undefined when it is something else. */
  readonly at: number | undefined;
}

/** It ends a cluster or more past the end of the file: QEMU notices this too. It is not counted. */
export interface PastEnd extends Missing {
  readonly kind: 'past-end';
}

/** It ends past the end of the file, by less than a cluster. QEMU reads zeros in its place, and its check says nothing. */
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
  | BrokenCluster
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
  /** A version 3 image must have 16 bytes of extra data in every entry of its snapshot table. */
  | (SnapshotPlace & { readonly kind: 'snapshot-incomplete' })
  /** A cluster of which nobody can tell the refcount. */
  | { readonly kind: 'refcount-unreadable'; readonly cluster: number; readonly reason: string }
  /** Told once, before the clusters that it concerns. `index`: of the entry in the refcount table. */
  | { readonly kind: 'refcount-block-unusable'; readonly index: number; readonly offset: bigint };

/** Told about each finding in turn; the check goes on when it has returned. */
export type OnFinding = (finding: Finding) => void | Promise<void>;

/** As what a finding counts. */
export type Weight = 'corruption' | 'leak' | 'check-error' | 'none';

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

/** Tables that refer to host clusters. The refcount table and its blocks do not: they follow from these. */
const TABLES_OF_REFERENCES: ReadonlySet<ImagePart> = new Set<ImagePart>([
  'L1 table',
  'L2 table',
  'snapshot table',
  'bitmap directory',
  'bitmap table',
]);

/**
 * The table that a finding says cannot be read, or not all of it: then clusters that seem to leak may be in use.
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

/** What the analysis of an image comes to. */
export interface CheckTotals {
  readonly corruptions: number;
  readonly leaks: number;
  /** What could not be checked. */
  readonly checkErrors: number;
  /** Clusters of the virtual disk. */
  readonly totalClusters: number;
  /** Of these, in the image's present state: with a place of their own, whatever they hold. */
  readonly allocatedClusters: number;
  /** Not right behind the one before them in the same L2 table; every compressed cluster is. */
  readonly fragmentedClusters: number;
  readonly compressedClusters: number;
  /** Where the last host cluster ends that has a refcount or is referred to, in bytes. */
  readonly imageEndOffset: number;
  /** Whether refcounts can only be repaired by making refcount table and blocks anew. */
  readonly needsRebuild: boolean;
  /** Tables that could not be read, or not all of each (`unreadTable`): what seems to leak may be in use. */
  readonly unreadTables: number;
}
