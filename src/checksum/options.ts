/** The options and the result of `checksum`. */
import type { Image, ImageFormat, StreamReference } from '../image/image-reference.js';
import type { NbdOptions } from '../nbd/nbd-options.js';
import type { SnapshotSelector } from '../qcow2/snapshot-table.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { Progress } from '../workers/progress.js';

export interface ChecksumOptions {
  /** The disk: an image, or a raw disk from a stream. */
  readonly source: Image | StreamReference;
  /** The format of a source that is given as a name or a stream. Default: probed from its first bytes. */
  readonly sourceFormat?: ImageFormat | undefined;
  /** Read this internal snapshot instead of the current state. qcow2 only. */
  readonly snapshot?: SnapshotSelector | undefined;
  /** Refuse every file that the image names (backing and data files), whatever its format option says. */
  readonly isolated?: boolean | undefined;
  /** Read the image even while another program has it open for writing (-U). */
  readonly forceShare?: boolean | undefined;
  /** How the image is read; default: writeback (through the page cache). */
  readonly cache?: CacheMode | undefined;
  /** Maximum number of worker threads; default: the number of processors available to this process. */
  readonly threads?: number | undefined;
  /** As in ConvertOptions. */
  readonly memory?: number | undefined;
  /** Called with a warning, one sentence; must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /** Called after each work item (at most 2 MiB); must not throw. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** How NBD exports are opened. */
  readonly nbd?: NbdOptions | undefined;
  /** Aborts the call, which rejects with ERR_ABORTED. */
  readonly signal?: AbortSignal | undefined;
}

export interface ChecksumResult {
  /** The digest of the virtual disk in hexadecimal, as `blksum` prints it. */
  readonly digest: string;
  /** Of the virtual disk, in bytes. */
  readonly virtualSize: number;
  /** As given or probed. */
  readonly format: ImageFormat;
}
