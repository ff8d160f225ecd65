/** The kinds of bytes in an image's file. */

/** Kinds that a table or a refcount refers to. */
export const USED_KINDS = [
  'header',
  'l1',
  'l2',
  'refcounts',
  /** The snapshot table, and the L1 and L2 tables that only snapshots use. */
  'snapshots',
  'bitmaps',
  'compressed',
  'data',
  /** A preallocated cluster: space is reserved, no data was written. */
  'preallocated',
  /** Clusters, compressed or not, that only snapshots use. */
  'snapshotData',
  /** The unused rest of a host cluster that is partly in use, mostly by payloads. */
  'slack',
  /** Clusters with a refcount above 0 that no table refers to. */
  'leaked',
] as const;

export type UsedKind = (typeof USED_KINDS)[number];

export type FileKind =
  | UsedKind
  | 'unused'
  /** The same, in a hole of the file. */
  | 'hole'
  /** Every hole. Used only to compute the other kinds. */
  | 'sparse';
