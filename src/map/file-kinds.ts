/** What bytes of an image's file can be. */

/** What something refers to, as its tables or its refcounts say. */
export const USED_KINDS = [
  'header',
  'l1',
  'l2',
  'refcounts',
  /** The snapshot table, and the L1 and L2 tables that only snapshots have. */
  'snapshots',
  'bitmaps',
  'compressed',
  'data',
  /** A cluster's place, with nothing written there. */
  'preallocated',
  /** Clusters, compressed or not, that only snapshots have. */
  'snapshotData',
  /** The rest of a host cluster that something else uses a part of: beside payloads, mostly. */
  'slack',
  /** In use by its refcount, and by nothing else. */
  'leaked',
] as const;

export type UsedKind = (typeof USED_KINDS)[number];

export type FileKind =
  | UsedKind
  | 'unused'
  /** Likewise, and without a place on the host's disk. */
  | 'hole'
  /** Any hole. Only to work out the others. */
  | 'sparse';
