/** The options and the result of a conversion, as the library takes and returns them. */
import type { EngineName } from '../engines/codec.js';
import type { Image, ImageFormat, StreamReference } from '../image/image-reference.js';
import type { CreateOptions } from '../qcow2/create-options.js';
import type { SnapshotSelector } from '../qcow2/snapshot-table.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { Progress } from '../workers/progress.js';
import type { UnreadableRange } from '../workers/unreadable-range.js';

export interface ConvertOptions {
  /**
   * The sources, a file's name standing for the file in `sourceFormat`; more than one are concatenated, each
   * rounded up to 512 bytes. A stream must be the only one; the name of a pipe (/dev/stdin, /dev/fd/3 and the like
   * stand for this process's descriptor, which is closed afterwards) is a stream.
   */
  readonly sources: readonly (Image | StreamReference)[];
  /** The file to make (replaced as a whole when complete) or the device to write to. */
  readonly target: string;
  /** The format of the sources. Default: it is detected in their first bytes. */
  readonly sourceFormat?: ImageFormat | undefined;
  /** Read this internal snapshot of the only source instead of its present state. qcow2 only. */
  readonly snapshot?: SnapshotSelector | undefined;
  /** Refuse every file that a source names (backing and data files), whatever its format option says. */
  readonly isolated?: boolean | undefined;
  /** Replace ranges that cannot be read or inflated with zeros, and continue. */
  readonly salvage?: boolean | undefined;
  /**
   * Called in guest order for each range that became zeros and, also without `salvage`, for each range that was read
   * although its payload is malformed (`isKept`). Must not throw.
   */
  readonly onUnreadable?: ((range: UnreadableRange) => void) | undefined;
  /** Called with each warning, a sentence; the conversion continues. Must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /**
   * The least size of the sources together, in bytes; a smaller size is an error. The size of a stream is known at its
   * end: a new target is then removed, but a target in place has been written to. Default: 1 for a stream without a
   * stated size, otherwise 0.
   */
  readonly minSize?: number | undefined;
  /** The target's format; default: qcow2. */
  readonly targetFormat?: ImageFormat | undefined;
  /**
   * Which existing, non-empty regular file the target may be: `any`; or, as a protection against mistaken names, for
   * qcow2 one that begins as a qcow2 image, and for raw one that does not begin as an image file of any format.
   * Default: `any` when `targetFormat` is stated, else `same format`.
   */
  readonly overwrite?: 'any' | 'same format' | undefined;
  /** Compress guest clusters; default: false, as in qemu-img. */
  readonly compress?: boolean | undefined;
  /** The options of the format. Default of each: that of the format. */
  readonly create?: CreateOptions | undefined;
  /**
   * Compress again the clusters that the source stores compressed. Default: only if the cluster size or the compression
   * type of the target differs, or a level or window is given.
   */
  readonly recompress?: boolean | undefined;
  /** The persistent dirty bitmaps of the only source: all of them, or all but inconsistent ones. Default: none. */
  readonly bitmaps?: 'all' | 'skip-broken' | undefined;
  /**
   * Compression level; the range depends on the engine. 1 without an engine is as fast as it gets: level 2 of ISA-L where
   * that is installed. Default: the engine's own entry in docs/engines.md.
   */
  readonly compressionLevel?: number | undefined;
  /** Deflate window in bits; default 15. 12 is the window qemu itself writes. */
  readonly compressionWindowBits?: 12 | 15 | undefined;
  /**
   * Which engine to use; default: the fastest that is installed. With `node`, sources too are inflated without
   * libdeflate and libzstd, as far as this Node.js can (zstd since 22.15). `isal` inflates nothing.
   */
  readonly engine?: EngineName | undefined;
  /**
   * Inflate each payload and compare it with its cluster before it is used, and compress the cluster again at a lower
   * level where it differs. Default: false, but true for a zstd known to compress wrongly (1.5.0 to 1.5.4 from level 13
   * on).
   */
  readonly checkPayloads?: boolean | undefined;
  /** Worker threads at most; default: as many as there are processors that this process may use. */
  readonly threads?: number | undefined;
  /**
   * The most memory of a process that does only this, in bytes; it must be enough for one thread. Default: three
   * quarters of the limit of its control group. The target does not depend on it.
   */
  readonly memory?: number | undefined;
  /** The smallest run of zeros that is not allocated, in bytes; 0 stores every cluster. Default: 4096. */
  readonly sparseSize?: number | undefined;
  /** How the target is written; default: none (O_DIRECT), or writeback where the file system refuses that. */
  readonly targetCache?: CacheMode | undefined;
  /** Read sources even while another program has them open for writing (-U). */
  readonly forceShare?: boolean | undefined;
  /** How the sources are read; default: writeback (through the page cache). */
  readonly sourceCache?: CacheMode | undefined;
  /** Bytes of the compressed write cache; 0 sends every compressed cluster straight to the file. */
  readonly compressedCacheSize?: number | undefined;
  /**
   * Write into the existing target. A qcow2 image keeps its size, its format options, its snapshots, and the content of
   * its disk after the end of the sources; `create` may then hold only a size and a backing file, which are ignored. In
   * an empty file, or over other data if the format is stated as qcow2, a new image is made.
   */
  readonly keepTarget?: boolean | undefined;
  /** With `keepTarget`: every byte of the target reads as zero already. */
  readonly targetIsZero?: boolean | undefined;
  /**
   * Read the finished target back from the device, before it gets its name, and compare it with the sources, which
   * are read again, or with the digest of a stream. Bitmaps and data that no guest sees are not compared.
   */
  readonly verify?: boolean | undefined;
  /** Bytes a second that are written to the target at most. */
  readonly rateLimit?: number | undefined;
  /** Called after each work item of 2 MiB; must not throw. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
  /** Ends the conversion: it rejects with ERR_ABORTED, and nothing is left behind. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * Where a target was read back from. `device`: past the page cache. `evicted`: the system was asked to drop its pages
 * first. `page cache`: the system could not be asked.
 */
export type VerifiedFrom = 'device' | 'evicted' | 'page cache';

/** What a finished conversion did. Sizes in bytes. */
export interface ConvertResult {
  readonly virtualSize: number;
  readonly fileSize: number;
  /** Of a qcow2 image; undefined for a raw disk. */
  readonly clusterSize: number | undefined;
  readonly compressedClusters: number;
  readonly normalClusters: number;
  /** How many of the compressed clusters are the source's own payloads. */
  readonly copiedClusters: number;
  /**
   * How many clusters the engine had compressed wrongly; they were compressed again at a lower level, or stored as they
   * are. undefined: the payloads were not checked.
   */
  readonly correctedClusters: number | undefined;
  /** Clusters stored as explicit zeros: over a backing file only. */
  readonly zeroClusters: number;
  /** Bytes that could not be read and became zeros. */
  readonly unreadableBytes: number;
  /** Sum of the compressed clusters' lengths. */
  readonly compressedBytes: number;
  /** The engine used, or undefined when nothing was to be compressed. */
  readonly engine: EngineName | undefined;
  readonly compressionLevel: number | undefined;
  /** The level for binary tables, when it is another one. */
  readonly tableLevel: number | undefined;
  /** Why the engine's bytes are not those that it gives on other machines; undefined: they are. */
  readonly unportable: string | undefined;
  /** Worker threads that compressed. */
  readonly threads: number;
  /** Why there were fewer threads than wanted: the system could not start more. */
  readonly threadsRefused: string | undefined;
  /** Milliseconds of waiting until every later write had to change a source's time stamps. */
  readonly settledMs: number;
  /** Where the target was read back from; undefined: it was not verified. */
  readonly verifiedFrom: VerifiedFrom | undefined;
  /** How the target was really written. */
  readonly targetCache: CacheMode;
  /** Why O_DIRECT was not used although it was tried. */
  readonly directRefused: string | undefined;
  /** Write calls on the target and their bytes. */
  readonly writeCalls: number;
  readonly writtenBytes: number;
}
