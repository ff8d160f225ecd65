/** The internal snapshots of an image. Specification: "Snapshots". */

/** Which snapshot: by its identifier, its name, both, or by a word that may be either (identifiers first). */
export type SnapshotSelector =
  | { readonly idOrName: string }
  | { readonly id?: string | undefined; readonly name?: string | undefined };
