/**
 * The options and the result of `imageInfo`: plain values, limited in number by QEMU's bounds. Sizes and offsets in
 * bytes.
 */

import type { CompressionType } from '../compression-type.js';
import type { Examination } from '../examine/examine-image.js';
import type { Image, ImageFormat } from '../image/image-reference.js';
import type { ExportDescription } from '../nbd/describe-export.js';
import type { Encryption } from '../qcow2/encryption-header.js';
import type { RunOptions } from '../workers/run-options.js';

/** `threads`, `memory` and `onProgress` are for `deep`. */
export interface ImageInfoOptions extends RunOptions {
  readonly image: Image;
  /** Describe the backing files too. */
  readonly backingChain?: boolean | undefined;
  /** Read every compressed cluster of the described qcow2 images. */
  readonly deep?: boolean | undefined;
}

export interface ImageInfo {
  /** The name given by the caller, or by the image above it in the chain. */
  readonly file: string;
  readonly format: ImageFormat;
  /** Of the virtual disk, a multiple of 512. */
  readonly virtualSize: number;
  /** Of the file or device, rounded up to a multiple of 512. */
  readonly fileSize: number;
  /** Bytes that the file system has allocated for the file; 0 for a device, undefined for an NBD export. */
  readonly diskSize: number | undefined;
  readonly isDevice: boolean;
  /** Of an NBD export: what its server tells about it and about other exports. */
  readonly nbd: ExportDescription | undefined;
  readonly qcow2: Qcow2Info | undefined;
}

/** The properties of a qcow2 image. */
export interface Qcow2Info {
  readonly version: 2 | 3;
  readonly clusterSize: number;
  readonly compressionType: CompressionType;
  readonly refcountBits: number;
  readonly lazyRefcounts: boolean;
  /** The image was not closed cleanly: its refcounts may be wrong. */
  readonly dirty: boolean;
  /** A program marked the image as corrupt. */
  readonly corrupt: boolean;
  readonly extendedL2: boolean;
  readonly encryption: Encryption | undefined;
  readonly backing: BackingInfo | undefined;
  readonly dataFile: DataFileInfo | undefined;
  /** At most 65535. */
  readonly bitmaps: readonly BitmapInfo[];
  /** The image has bitmaps, but a program without bitmap support has written to it since: none are listed. */
  readonly staleBitmaps: boolean;
  /** At most 65536. */
  readonly snapshots: readonly SnapshotInfo[];
  /** With `deep`. */
  readonly deep: Examination | undefined;
}

export interface BackingInfo {
  /** As it stands in the image, at most 1023 bytes. */
  readonly name: string;
  /** Relative to the same directory as the image's own name; a name with a protocol is unchanged. */
  readonly fullName: string;
  /** Any format, as stated in the image; undefined: not stated. */
  readonly format: string | undefined;
}

export interface DataFileInfo {
  /** Undefined: the image requires a data file and does not name it. */
  readonly name: string | undefined;
  /** The data file is a raw image of the disk. */
  readonly raw: boolean;
}

export interface BitmapInfo {
  readonly name: string;
  /** Bytes of the disk for each bit. */
  readonly granularity: number;
  /** Writes to the disk are recorded in the bitmap. */
  readonly auto: boolean;
  /** The bitmap was not saved and cannot be trusted. */
  readonly inUse: boolean;
}

export interface SnapshotInfo {
  /** At most 127 bytes, as QEMU shows it. */
  readonly id: string;
  /** At most 255 bytes, as QEMU shows it. */
  readonly name: string;
  /** When it was taken, in seconds since 1970 and nanoseconds. */
  readonly dateSeconds: number;
  readonly dateNanoseconds: number;
  /** How long the virtual machine had run, in nanoseconds. */
  readonly vmClock: bigint;
  /** Bytes of the virtual machine's state; 0n: none. */
  readonly vmStateSize: bigint;
  /** Size of the disk then; undefined: the image's current size. */
  readonly diskSize: bigint | undefined;
  /** Instructions executed; undefined if they were not counted. */
  readonly icount: bigint | undefined;
}
