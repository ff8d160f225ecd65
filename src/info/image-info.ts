/**
 * The options and the result of `imageInfo`: plain values, at most as many as QEMU's bounds allow.
 * Sizes and offsets in bytes.
 */
import type { CompressionType } from '../compression-type.js';
import type { Examination } from '../examine/examine-image.js';
import type { Image, ImageFormat } from '../image/image-reference.js';
import type { Encryption } from '../qcow2/encryption-header.js';
import type { Progress } from '../workers/progress.js';

export interface ImageInfoOptions {
  readonly image: Image;
  /** Describe the backing files too. */
  readonly backingChain?: boolean | undefined;
  /** Read every compressed cluster of the described qcow2 images. */
  readonly deep?: boolean | undefined;
  /** Worker threads for that at most; default: one for each processor that this process may use. */
  readonly threads?: number | undefined;
  /** For that; as in ConvertOptions. */
  readonly memory?: number | undefined;
  /** Called with a warning, one sentence; must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Called while clusters are looked at. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ImageInfo {
  /** As it was named, or as the image above it in the chain names it. */
  readonly file: string;
  readonly format: ImageFormat;
  /** Of the virtual disk, a multiple of 512. */
  readonly virtualSize: number;
  /** Of the file or device, rounded up to a multiple of 512. */
  readonly fileSize: number;
  /** Bytes that the file system has allocated for the file; 0 for a device. */
  readonly diskSize: number;
  readonly isDevice: boolean;
  readonly qcow2: Qcow2Info | undefined;
}

/** The properties of a qcow2 image. */
export interface Qcow2Info {
  readonly version: 2 | 3;
  readonly clusterSize: number;
  readonly compressionType: CompressionType;
  readonly refcountBits: number;
  readonly lazyRefcounts: boolean;
  /** It was not closed: its refcounts may be wrong. */
  readonly dirty: boolean;
  /** A program found it broken. */
  readonly corrupt: boolean;
  readonly extendedL2: boolean;
  readonly encryption: Encryption | undefined;
  readonly backing: BackingInfo | undefined;
  readonly dataFile: DataFileInfo | undefined;
  /** At most 65535. */
  readonly bitmaps: readonly BitmapInfo[];
  /** There are bitmaps, but a program that knows nothing of them has written to the image since: none are listed. */
  readonly staleBitmaps: boolean;
  /** At most 65536. */
  readonly snapshots: readonly SnapshotInfo[];
  /** With `deep`. */
  readonly deep: Examination | undefined;
}

export interface BackingInfo {
  /** As it stands in the image, at most 1023 bytes. */
  readonly name: string;
  /** Seen from where the image's own name is seen; a name with a protocol is left as it is. */
  readonly fullName: string;
  /** As the image states it, of whatever format; undefined: it does not. */
  readonly format: string | undefined;
}

export interface DataFileInfo {
  /** Undefined: the image needs a data file and does not name one. */
  readonly name: string | undefined;
  /** It is a raw image of the disk. */
  readonly raw: boolean;
}

export interface BitmapInfo {
  readonly name: string;
  /** Of the disk that a bit stands for. */
  readonly granularity: number;
  /** Writes to the disk are recorded in it. */
  readonly auto: boolean;
  /** It was not saved and cannot be trusted. */
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
  /** For how long the virtual machine had run, in nanoseconds. */
  readonly vmClock: bigint;
  /** Bytes of the state of the virtual machine; 0n: there is none. */
  readonly vmStateSize: bigint;
  /** Of the disk then; undefined: as the image has it now. */
  readonly diskSize: bigint | undefined;
  /** Instructions executed; undefined where they were not counted. */
  readonly icount: bigint | undefined;
}
