/** The options and the result of a conversion, as the library takes and returns them. */

import type { EngineName } from '../engines/codec.js';
import type { Image, ImageFormat, StreamReference } from '../image/image-reference.js';
import type { CreateOptions } from '../qcow2/create-options.js';
import type { SnapshotSelector } from '../qcow2/snapshot-table.js';
import type { CacheMode } from '../storage/cache-mode.js';
import type { StreamTarget } from '../storage/stream-name.js';
import type { RunOptions } from '../workers/run-options.js';
import type { UnreadableRange } from '../workers/unreadable-range.js';

/** The target does not depend on `threads` and `memory`. An aborted conversion leaves no files. */
export interface ConvertOptions extends RunOptions {
  /**
   * The sources: references, or names of files in `sourceFormat`. Several are concatenated, each rounded up to 512
   * bytes. A stream must be the only source. The name of a pipe is a stream; /dev/stdin, /dev/fd/3 and the like are
   * this process's descriptors, which are closed afterwards.
   */
  readonly sources: readonly (Image | StreamReference)[];
  /**
   * The file to create (replaced as a whole when complete) or the device or NBD export to write to. Or a stream, which
   * is written from start to end: an image is compressed twice for it, unless `spool` is given. The name of a pipe is a
   * stream, and so are /dev/stdout, /dev/fd/3 and the like, whatever is behind them.
   */
  readonly target: string | StreamTarget;
  /**
   * For a target that is a stream: write the image to a file without a name in this directory, and from there to the
   * stream. So sources are read once.
   */
  readonly spool?: string | undefined;
  /** The format of the sources. Default: probed from their first bytes. */
  readonly sourceFormat?: ImageFormat | undefined;
  /** Read this internal snapshot of the only source instead of its current state. qcow2 only. */
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
  /**
   * The minimum size of all sources together, in bytes; a smaller size is an error. The size of a stream is known at
   * its end: a new target is then removed, but a target in place has been written to. Default: 1 for a stream without a
   * stated size, otherwise 0.
   */
  readonly minSize?: number | undefined;
  /** The target's format; default: qcow2. */
  readonly targetFormat?: ImageFormat | undefined;
  /**
   * Which existing, non-empty regular file the target may be: `any`; or, as a protection against mistaken names, for
   * qcow2 one that begins as a qcow2 image, and for raw one that does not begin as an image file of any format.
   * Default: `any` if `targetFormat` is stated, otherwise `same format`.
   */
  readonly overwrite?: 'any' | 'same format' | undefined;
  /** Compress guest clusters; default: false, as in qemu-img. */
  readonly compress?: boolean | undefined;
  /** The options of the format. Default of each: that of the format. */
  readonly create?: CreateOptions | undefined;
  /**
   * With `compress`: compress again the clusters that the source stores compressed. Default: only if the cluster size or the compression
   * type of the target differs, or a level or window is given.
   */
  readonly recompress?: boolean | undefined;
  /** The persistent dirty bitmaps of the only source: all of them, or all but inconsistent ones. Default: none. */
  readonly bitmaps?: 'all' | 'skip-broken' | undefined;
  /**
   * A persistent dirty bitmap of the only source. The target, which must have a backing file, then stores the clusters
   * that the bitmap lists as changed, and those past the end of a smaller backing file; it is assumed that the backing
   * file has the others. Default: none, and every cluster is compared with a backing file.
   */
  readonly bitmap?: string | undefined;
  /** With `bitmap`: leave out changed clusters whose bytes are those of the backing file. Default: false. */
  readonly compareWithBacking?: boolean | undefined;
  /**
   * With `compress`: the level; its range depends on the engine. 1 without an engine is the fastest: level 2 of ISA-L if it is
   * installed. Default: see docs/engines.md.
   */
  readonly compressionLevel?: number | undefined;
  /** With `compress`: the deflate window in bits; default 15. 12 is the window that qemu-img writes. */
  readonly compressionWindowBits?: 12 | 15 | undefined;
  /**
   * With `compress`: the engine; default: the fastest one installed. With `node`, and also without `compress`, sources
   * are inflated without libdeflate and libzstd, as far as this Node.js can (zstd since 22.15). `isal` cannot inflate.
   */
  readonly engine?: EngineName | undefined;
  /**
   * With `compress`: inflate each payload and compare it with its cluster before use, and compress the cluster again at a lower level if
   * it differs. Default: false, but true for a zstd known to compress wrongly (1.5.0 to 1.5.4 from level 13 on).
   */
  readonly checkPayloads?: boolean | undefined;
  /**
   * The smallest run of zeros that is not allocated, in bytes: a multiple of 512 up to 16 MiB. 0 stores every cluster.
   * Default: 4096.
   */
  readonly sparseSize?: number | undefined;
  /** How the target is written; default: none (O_DIRECT), or writeback where the file system refuses that. */
  readonly targetCache?: CacheMode | undefined;
  /** Read sources even while another program has them open for writing (-U). */
  readonly forceShare?: boolean | undefined;
  /** How the sources are read; default: writeback (through the page cache). */
  readonly sourceCache?: CacheMode | undefined;
  /** With `compress`: bytes of the compressed write cache; 0 writes every compressed cluster directly to the file. */
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
   * Read the finished target back from the device, before it is renamed, and compare it with the sources, which
   * are read again, or with the digest of a stream. Bitmaps and data that no guest sees are not compared. With `bitmap`
   * the clusters that it lists are compared, and the others must be the backing file's.
   */
  readonly verify?: boolean | undefined;
  /**
   * Compute the digest of the target's disk (docs/checksum.md). With a backing file, clusters that equal its own are
   * read too. Default: false.
   */
  readonly digest?: boolean | undefined;
  /**
   * Compute the SHA-256 of the file that is made: while it is written if that is in order, as of a raw disk, otherwise
   * by reading it once more. Of a device, only the bytes of the image. Default: false.
   */
  readonly sha256?: boolean | undefined;
  /** Maximum bytes per second written to the target. */
  readonly rateLimit?: number | undefined;
}

/** The options once the target has a name: its own, or that of a stream for messages. */
export type NamedTargetOptions = ConvertOptions & { readonly target: string };

/**
 * Where a target was read back from. `device`: past the page cache. `evicted`: the system was asked to drop its pages
 * first. `page cache`: the system could not be asked. `server`: from the server of an NBD export, on a new connection.
 */
export type VerifiedFrom = 'device' | 'evicted' | 'page cache' | 'server';

/** A name and the format that was stated or probed. */
interface NamedImage {
  readonly name: string;
  readonly format: ImageFormat;
}

/** What a finished conversion did. Sizes in bytes. */
export interface ConvertResult {
  readonly sources: readonly NamedImage[];
  readonly target: NamedImage;
  /** From the call to the result. */
  readonly seconds: number;
  /** Guest bytes that were read in a second. */
  readonly bytesPerSecond: number;
  /** The warnings, at most the first 1000. */
  readonly warnings: readonly string[];
  readonly virtualSize: number;
  readonly fileSize: number;
  /** Of a qcow2 image; undefined for a raw disk. */
  readonly clusterSize: number | undefined;
  readonly compressedClusters: number;
  readonly normalClusters: number;
  /** The number of compressed clusters copied from the source's payloads. */
  readonly copiedClusters: number;
  /**
   * The number of clusters that the engine compressed wrongly. They were compressed again at a lower level, or stored
   * uncompressed. undefined: the payloads were not checked.
   */
  readonly correctedClusters: number | undefined;
  /** Clusters stored as explicit zeros: over a backing file only. */
  readonly zeroClusters: number;
  /** Bytes that could not be read and became zeros. */
  readonly unreadableBytes: number;
  /** Sum of the compressed clusters' lengths. */
  readonly compressedBytes: number;
  /**
   * What the clusters with data take in the image for each of their guest bytes; undefined: there are none, or the
   * target is a raw disk.
   */
  readonly ratio: number | undefined;
  /** The engine used; undefined without compression. */
  readonly engine: EngineName | undefined;
  /** undefined also if the levels depend on the content. */
  readonly compressionLevel: number | undefined;
  /** The engines and levels that clusters got by their content, from the lowest level to the highest. */
  readonly byContent: readonly { readonly engine: EngineName; readonly level: number }[] | undefined;
  /** The reason why the output differs from the engine's on other machines; undefined: it does not. */
  readonly unportable: string | undefined;
  /** Worker threads that compressed. */
  readonly threads: number;
  /** The reason why fewer threads ran than requested: the system could not start more. */
  readonly threadsRefused: string | undefined;
  /** Milliseconds waited until every later write would change a source's time stamps. */
  readonly settledMs: number;
  /** Where the target was read back from; undefined: it was not verified. */
  readonly verifiedFrom: VerifiedFrom | undefined;
  /** The part that was compared: the whole disk, or with `bitmap` the clusters that are stored. undefined: nothing. */
  readonly verifiedPart: 'disk' | 'changes' | undefined;
  /**
   * The digest of the target's disk in hexadecimal, as `checksum` computes it; undefined: not asked for. For a raw
   * target that is longer than the sources, only their part counts.
   */
  readonly digest: string | undefined;
  /** The SHA-256 of the target's file in hexadecimal; undefined: not asked for. */
  readonly sha256: string | undefined;
  /** The cache mode actually used for the target; undefined: a stream has none. */
  readonly targetCache: CacheMode | undefined;
  /** The reason why O_DIRECT was refused. */
  readonly directRefused: string | undefined;
  /** Write calls on the target and their bytes. */
  readonly writeCalls: number;
  readonly writtenBytes: number;
}
