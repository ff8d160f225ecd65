/**
 * What a conversion reads from, whatever the format: a size and a map. The map says where the bytes of
 * a guest range are; reading and inflating them is the workers' work, through the descriptors named in it.
 */
import type { CompressionType } from '../compression-type.js';
import type { Qcow2cError } from '../errors.js';

/** Where a file holds a compressed cluster. Lengths and offsets in bytes. */
export interface CompressedPayload {
  readonly type: CompressionType;
  /** An open descriptor, to be read at `offset` by any thread while the source is open. */
  readonly descriptor: number;
  readonly offset: number;
  /** How much the payload takes at most; what lies past the end of the file reads as zeros. */
  readonly storedLength: number;
  /** What it inflates to, exactly. */
  readonly clusterSize: number;
}

/** The same kind of content from the offset asked for on. Lengths and offsets in bytes. */
export type MappedRange =
  | { readonly kind: 'zero'; readonly length: number }
  | {
      readonly kind: 'data';
      readonly length: number;
      /** An open descriptor, to be read at `offset` by any thread while the source is open. */
      readonly descriptor: number;
      readonly offset: number;
    }
  | {
      readonly kind: 'compressed';
      readonly length: number;
      readonly payload: CompressedPayload;
      /** Bytes of the inflated cluster that lie before the range. */
      readonly skip: number;
    }
  /** Nobody can tell what is there; whoever needs the bytes throws `error`. */
  | { readonly kind: 'unreadable'; readonly length: number; readonly error: Qcow2cError };

/** What one image of a chain has to say: a range that it leaves to its backing file is unallocated. */
export type LayerRange = MappedRange | { readonly kind: 'unallocated'; readonly length: number };

/** What an image, a chain of images and several joined end to end have in common. */
interface Mapped<Range> {
  /** The name for messages. */
  readonly name: string;
  /** Size of the virtual disk in bytes, a multiple of 512. */
  readonly size: number;
  /**
   * @param offset guest bytes, below `size`
   * @returns the longest range known to start there, at least one byte, at most up to `size`
   * @throws Qcow2cError ERR_IO
   */
  map(offset: number): Promise<Range>;
  /** The file behind a descriptor of this source, or undefined for another's. */
  fileOf(descriptor: number): string | undefined;
  /** @throws Qcow2cError ERR_SOURCE_CHANGED when a file is no longer what it was when it was opened */
  refuseChanges(): Promise<void>;
  close(): Promise<void>;
}

export type Source = Mapped<MappedRange>;
export type Layer = Mapped<LayerRange>;

/** A file that holds an image of whatever format: its bytes as a source, and read access for its tables. */
export interface HostFile extends Source {
  readonly descriptor: number;
  /**
   * Fills `into` from `offset` (bytes, any).
   * @returns how many bytes the file had there; fewer than asked only at its end
   * @throws Qcow2cError ERR_IO
   */
  read(offset: number, into: Uint8Array): Promise<number>;
}
