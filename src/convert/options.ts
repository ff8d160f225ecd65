/**
 * What a conversion can be asked to do, as the library takes it. The command line turns its options
 * into this; nothing here knows of letters or text.
 */
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
  /** The sources' format; looked for in their first bytes when left out. */
  readonly sourceFormat?: ImageFormat | undefined;
  /** Read this internal snapshot of the only source instead of its present state. qcow2 only. */
  readonly snapshot?: SnapshotSelector | undefined;
  /** Refuse every file that a source names (backing and data files), whatever its format option says. */
  readonly isolated?: boolean | undefined;
  /** Take what cannot be read or inflated for zeros, and go on. */
  readonly salvage?: boolean | undefined;
  /**
   * Called for each range that was taken for zeros, and also without `salvage` for each that was read although something
   * is wrong with its payload (`isKept`), in guest order; must not throw.
   */
  readonly onUnreadable?: ((range: UnreadableRange) => void) | undefined;
  /** Called with what the user should know although the conversion goes on, a sentence; must not throw. */
  readonly onWarning?: ((message: string) => void) | undefined;
  /**
   * The fewest bytes that the sources must have together; with fewer it is an error. Of a stream that is known at its
   * end: a new target is then not made, but one that is written in place has been written to. Default: 1 of a stream
   * whose size is not stated, else 0.
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
  /** The format's options; what is left out takes the format's default. */
  readonly create?: CreateOptions | undefined;
  /**
   * Compress anew what the source holds compressed already. Default: only where the target's cluster size or
   * compression type differ, or a level or window is given.
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
   * Inflate each payload and compare it with its cluster before it is used, and compress the cluster anew at a lower
   * level where it differs. Default: false, but true for a zstd known to compress wrongly (1.5.0 to 1.5.4 from level 13
   * on).
   */
  readonly checkPayloads?: boolean | undefined;
  /** Worker threads at most; default: as many as there are processors that this process may use. */
  readonly threads?: number | undefined;
  /**
   * Bytes of memory that a process takes at most which does this and nothing else, as long as that is enough for one
   * thread; default: three quarters of what its control group leaves it. The target does not depend on it.
   */
  readonly memory?: number | undefined;
  /** Smallest run of zeros, in bytes, that is left unallocated; 0 stores every cluster. Default 4096. */
  readonly sparseSize?: number | undefined;
  /** How the target is written; default: none (O_DIRECT), or writeback where the file system refuses that. */
  readonly targetCache?: CacheMode | undefined;
  /** Read sources that somebody may be writing to (-U). */
  readonly forceShare?: boolean | undefined;
  /** How the sources are read; default: writeback (through the page cache). */
  readonly sourceCache?: CacheMode | undefined;
  /** Bytes of the compressed write cache; 0 sends every compressed cluster straight to the file. */
  readonly compressedCacheSize?: number | undefined;
  /**
   * Write into the existing target. A qcow2 image keeps its size, its format's options, its snapshots and what its
   * disk has behind the end of the sources; then `create` may hold a size and a backing file only, which are ignored.
   * In an empty file, or over other data if qcow2 is asked for, a new image is made.
   */
  readonly keepTarget?: boolean | undefined;
  /** With `keepTarget`: every byte of the target reads as zero already. */
  readonly targetIsZero?: boolean | undefined;
  /**
   * Read the finished target back from the device, before it gets its name, and compare it with the sources, which
   * are read again, or with the digest of a stream. Not compared: bitmaps, and what no guest sees.
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
   * How many clusters the engine had compressed wrongly; they were compressed anew at a lower level, or stored as they
   * are. undefined: the payloads were not checked.
   */
  readonly correctedClusters: number | undefined;
  /** Clusters stored as explicit zeros: over a backing file only. */
  readonly zeroClusters: number;
  /** Bytes that could not be read and were taken for zeros. */
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
  /** Where the target was read back from, and found to be right; undefined: nobody asked. */
  readonly verifiedFrom: VerifiedFrom | undefined;
  /** How the target was really written. */
  readonly targetCache: CacheMode;
  /** Why O_DIRECT was not used although it was tried. */
  readonly directRefused: string | undefined;
  /** Write calls on the target and their bytes. */
  readonly writeCalls: number;
  readonly writtenBytes: number;
}
