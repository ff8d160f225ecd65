/**
 * The interface of every source: a size and a map. The map tells where the bytes of a guest range are stored. Workers
 * read and inflate them through the descriptors in the map.
 */
import type { CompressionType } from '../compression-type.js';
import type { Qcow2cError } from '../errors.js';
import type { ExportDescription } from '../nbd/describe-export.js';
import type { LockUse } from '../system/image-lock.js';

/** The payloads of successive compressed clusters. Lengths and offsets in bytes. */
export interface CompressedPayloads {
  readonly type: CompressionType;
  /** An open descriptor or export number, to be read by any thread while the source is open. */
  readonly descriptor: number;
  /** The exact size of each inflated cluster. */
  readonly clusterSize: number;
  /**
   * Two numbers for each payload: its offset in the file, and the most bytes that it may take. Bytes past the end of
   * the file read as zeros.
   */
  readonly places: readonly number[];
}

/** A range of one kind, from the requested offset on. Lengths and offsets in bytes. */
export type MappedRange =
  | { readonly kind: 'zero'; readonly length: number }
  | {
      readonly kind: 'data';
      readonly length: number;
      /** An open descriptor or export number, to be read at `offset` by any thread while the source is open. */
      readonly descriptor: number;
      readonly offset: number;
    }
  | {
      readonly kind: 'compressed';
      readonly length: number;
      readonly payloads: CompressedPayloads;
      /** Bytes of the inflated clusters before the range. */
      readonly skip: number;
    }
  /** The mapping of this range is unknown. Reading it throws `error`. */
  | { readonly kind: 'unreadable'; readonly length: number; readonly error: Qcow2cError };

/** A range of one image of a chain; an unallocated range belongs to the backing file. */
export type LayerRange = MappedRange | { readonly kind: 'unallocated'; readonly length: number };

/** Members that an image, a chain of images and a concatenation share. */
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
  /** The file of a descriptor of this source; undefined for other descriptors. */
  fileOf(descriptor: number): string | undefined;
  /** @throws Qcow2cError ERR_SOURCE_CHANGED when a file has changed since it was opened */
  refuseChanges(): Promise<void>;
  close(): Promise<void>;
}

export type Source = Mapped<MappedRange>;
export type Layer = Mapped<LayerRange>;

/** The content of a dirty bitmap. */
export interface ChangeMap {
  /**
   * @param offset guest bytes, below the size of the disk; fast in ascending order
   * @returns the run from there, at least one byte long: the bitmap lists all of it as changed, or none of it
   * @throws Qcow2cError ERR_IO, ERR_CORRUPT
   */
  changesAt(offset: number): Promise<{ readonly length: number; readonly isChanged: boolean }>;
}

/** The file that contains an image of any format: its map, and reads for its tables. */
export interface HostFile extends Source {
  readonly descriptor: number;
  /**
   * Fills `into` from `offset` (any number of bytes).
   * @returns bytes read; fewer than requested only at the end of the file
   * @throws Qcow2cError ERR_IO
   */
  read(offset: number, into: Uint8Array): Promise<number>;
}

/** A file, a block device or an NBD export that was opened as an image or as a part of one. */
export interface OpenedFile extends HostFile {
  /** Equal for all names of one file, and different for other files. */
  readonly identity: string;
  /** Offset, length and address of a read on the descriptor must be multiples of this many bytes. */
  readonly readAlignment: number;
  /** Whether the file has holes that cannot be found, and that are therefore read. */
  readonly hasLostHoles: boolean;
  /**
   * The content of the dirty bitmap for which an export was opened. Missing for a file or a device.
   * @throws Qcow2cError ERR_USAGE if the server has no such bitmap
   */
  bitmapChanges?(name: string): ChangeMap;
  /** Takes QEMU's locks for a use of the file. Closing the file releases them. @throws Qcow2cError ERR_IN_USE */
  lock(use: LockUse): Promise<void>;
  /**
   * Waits until `refuseChanges` detects every later write. Call it before the first read.
   * @returns milliseconds waited
   * @throws Qcow2cError ERR_SOURCE_CHANGED, ERR_IO
   */
  settle(): Promise<number>;
  /** Present for an NBD export that was opened to be described. */
  readonly description?: ExportDescription | undefined;
}
