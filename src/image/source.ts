/**
 * What a conversion reads from, whatever the format: a size and a map. The map says where the bytes of
 * a guest range are; reading them is the workers' work, through the descriptors named in it.
 */

/** The same kind of content from the offset asked for on. Lengths and offsets in bytes. */
export type MappedRange =
  | { readonly kind: 'zero'; readonly length: number }
  | {
      readonly kind: 'data';
      readonly length: number;
      /** An open descriptor, to be read at `offset` by any thread while the source is open. */
      readonly descriptor: number;
      readonly offset: number;
    };

export interface Source {
  /** The name for messages. */
  readonly name: string;
  /** Size of the virtual disk in bytes, a multiple of 512. */
  readonly size: number;
  /**
   * @param offset guest bytes, below `size`
   * @returns the longest range known to start there, at least one byte, at most up to `size`
   * @throws Qcow2cError ERR_IO
   */
  map(offset: number): Promise<MappedRange>;
  /** The file behind a descriptor of this source, or undefined for another's. */
  fileOf(descriptor: number): string | undefined;
  /** @throws Qcow2cError ERR_SOURCE_CHANGED when a file is no longer what it was when it was opened */
  refuseChanges(): Promise<void>;
  close(): Promise<void>;
}
