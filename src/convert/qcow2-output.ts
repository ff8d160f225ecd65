/** A qcow2 image as the output of a conversion: how it is begun, filled, finished and committed. */
import { roundUp } from '../arithmetic.js';
import type { EngineLevel, EngineName } from '../engines/codec.js';
import { backingFilePath } from '../image/image-name.js';
import { guestCluster } from '../qcow2/addresses.js';
import type { BitmapContent } from '../qcow2/bitmap-writer.js';
import type { ClusterWriter } from '../qcow2/cluster-writer.js';
import { allocationUnit } from '../qcow2/image-body.js';
import { ImageWriter } from '../qcow2/image-writer.js';
import { unpackNormal } from '../qcow2/packed-clusters.js';
import { ReplacementWriter } from '../qcow2/replacement-writer.js';
import type { RawWriter } from '../raw/raw-writer.js';
import { CompressedWriteCache } from '../storage/compressed-write-cache.js';
import { OverlapGuard } from '../storage/overlap-guard.js';
import { commitInOrder, isInPlace, type Target } from '../storage/target.js';
import type { CompressClusters } from '../workers/messages/compression.js';
import { type PipelineSettings, packIn, refuseAbort, runPipeline } from '../workers/pipeline.js';
import type { PlannedItem } from '../workers/plan.js';
import type { ItemResult, WorkerPool } from '../workers/pool.js';
import { type CompressionOptions, type CompressionParts, compressionSetup } from './compression-setup.js';
import type { DiskRest } from './disk-rest.js';
import type { ExistingImage } from './existing-image.js';
import { type ReplacedImage, replaceImage } from './image-replacement.js';
import { beginInPlace, freeOldSpace, type InPlaceParts, tablesOf } from './in-place-image.js';
import type { NextItem } from './input.js';
import type { ConvertOptions } from './options.js';
import {
  type ItemRecords,
  type Output,
  type OutputResult,
  type OutputSetup,
  type RunClusters,
  type WrittenTarget,
  writeResult,
} from './output.js';

/** The parameters of an image and the files it is written to. */
export interface Qcow2Parts extends InPlaceParts, CompressionParts {
  /** Bytes; undefined: a stream, whose end is the end of the disk. */
  readonly virtualSize: number | undefined;
  /** Bytes of the compressed write cache. */
  readonly cacheSize: number;
  /** The external data file, which takes the guest clusters. */
  readonly dataFile: { readonly target: Target; readonly writer: RawWriter } | undefined;
  /** The most host clusters that bitmaps take in a new image, and their contents once `end` bytes are written. */
  readonly bitmaps: { readonly clusters: number; of(end: number): readonly BitmapContent[] };
  /** Bytes; undefined: a stream. */
  readonly sourceSize: number | undefined;
  /** Fills the last cluster of the source in an existing image. */
  readonly rest: DiskRest | undefined;
  /** Replaces `runPipeline`. */
  readonly runClusters: RunClusters | undefined;
}

/** The writer of a new image, or of the disk of an existing one. */
type Qcow2Writer =
  | { readonly writer: ImageWriter; readonly existing: undefined }
  | { readonly writer: ReplacementWriter; readonly existing: ExistingImage };

type Qcow2Options = CompressionOptions & Pick<ConvertOptions, 'bitmap' | 'keepTarget' | 'signal'>;

export class Qcow2Output implements Output<CompressClusters> {
  readonly setup: OutputSetup<CompressClusters>;
  readonly clusterSize: number;
  readonly isInOrder = false;
  readonly room: number | undefined;
  readonly #parts: Qcow2Parts;
  readonly #guard: OverlapGuard;
  readonly #cache: CompressedWriteCache;
  readonly #writer: Qcow2Writer;
  readonly #clusters: ClusterWriter;
  readonly #signal: AbortSignal | undefined;
  /** Compressed clusters that are the payloads of the source. */
  #copied = 0;
  /** Clusters that the engine compressed wrongly at first; undefined: the payloads were not checked. */
  #corrected: number | undefined;
  /** The end of the source in bytes, if its last cluster is filled up. */
  #sourceEnd = Number.POSITIVE_INFINITY;
  /** Bytes of the source. */
  #size = 0;
  #virtualSize = 0;
  #length = 0;
  #dataLength = 0;
  #replaced: ReplacedImage | undefined;
  #gaveBack = false;
  #isClosed = false;

  /** @throws Qcow2cError ERR_IO when the old header of a device cannot be removed */
  static async open(options: Qcow2Options, parts: Qcow2Parts): Promise<Qcow2Output> {
    const { target, parameters, virtualSize, cacheSize, bitmaps, existing, keptBytes } = parts;
    const unit = allocationUnit(parameters.geometry.clusterSize);
    // Every write goes to free space, so the old content stays valid until its header is replaced.
    const firstFree = existing?.free[0]?.from ?? Math.max(unit, roundUp(keptBytes, unit));
    const guard = new OverlapGuard(target.file, existing === undefined ? firstFree : unit);
    await beginInPlace(parts, guard, unit);
    const cache = CompressedWriteCache.create(guard, unit, cacheSize);
    const file = { guard, cache, firstFree, free: existing?.free };
    const keepsBacking = existing?.backing !== undefined;
    const hasBacking = parameters.backing !== undefined || keepsBacking;
    // With a bitmap, clusters that are passed over are the backing file's.
    const backing = { hasBacking, hidesBacking: keepsBacking && options.bitmap === undefined };
    if (existing === undefined) {
      const settings = { bitmapClusters: bitmaps.clusters, ...backing };
      const writer = new ImageWriter(parameters, virtualSize, file, settings);
      return new Qcow2Output(options, parts, guard, cache, { writer, existing });
    }
    const { l1Entries } = existing.image.header;
    const writer = new ReplacementWriter(parameters, virtualSize, file, l1Entries, backing);
    return new Qcow2Output(options, parts, guard, cache, { writer, existing });
  }

  private constructor(
    options: Qcow2Options,
    parts: Qcow2Parts,
    guard: OverlapGuard,
    cache: CompressedWriteCache,
    writer: Qcow2Writer,
  ) {
    const { parameters, virtualSize } = parts;
    this.clusterSize = parameters.geometry.clusterSize;
    this.setup = compressionSetup(options, parts);
    this.room = options.keepTarget ? virtualSize : undefined;
    this.#parts = parts;
    this.#guard = guard;
    this.#cache = cache;
    this.#writer = writer;
    this.#clusters = writer.writer.clusters;
    this.#signal = options.signal;
  }

  async run(
    pool: WorkerPool<CompressClusters>,
    items: () => NextItem,
    { unreadable, digest }: ItemRecords,
    settings: PipelineSettings,
  ): Promise<number> {
    const { clusterSize } = this;
    const { bitmaps, sourceSize, rest, runClusters, dataFile } = this.#parts;
    // Bitmaps come first if their bits are known: a file that loses its end then loses data and no bitmap.
    if (sourceSize !== undefined) await this.#writer.writer.body.addBitmaps(bitmaps.of(sourceSize));
    const parts = {
      pack: packIn(pool),
      store: async (packed: ItemResult<CompressClusters>, { guestOffset, length }: PlannedItem) => {
        await this.#clusters.store(packed, guestCluster(guestOffset / clusterSize));
        if (dataFile !== undefined) {
          const { disk, runs } = unpackNormal(packed, clusterSize, length);
          await dataFile.writer.write(guestOffset, disk, runs);
        }
        const { copied, corrected, digests } = packed;
        this.#copied += copied;
        if (corrected !== undefined) this.#corrected = (this.#corrected ?? 0) + corrected;
        if (digests !== undefined) await digest?.add(guestOffset, digests);
        unreadable.itemDone(packed.unreadable, guestOffset + length);
      },
      storedBytes: () => this.#clusters.storedBytes,
      ratio: () => this.#clusters.ratio,
    };
    const onEnd = (end: number) => {
      this.#sourceEnd = end;
    };
    const filled = () => (rest === undefined ? items() : rest.fill(items(), onEnd));
    const end =
      runClusters === undefined
        ? await runPipeline({ ...parts, next: filled() }, settings)
        : await runClusters(parts, filled, clusterSize, settings);
    return Math.min(end, this.#sourceEnd);
  }

  async finish(diskSize: number): Promise<void> {
    const { target, dataFile, parameters, bitmaps } = this.#parts;
    const { writer, existing } = this.#writer;
    this.#size = diskSize;
    this.#virtualSize = this.#parts.virtualSize ?? diskSize;
    const end = Math.ceil((existing === undefined ? this.#virtualSize : diskSize) / this.clusterSize);
    await this.#clusters.passOver(guestCluster(end));
    if (existing !== undefined) {
      await writer.keepRest(guestCluster(end), await tablesOf(existing), existing.virtualSize);
    }
    if (this.#parts.sourceSize === undefined) await writer.body.addBitmaps(bitmaps.of(diskSize));
    if (existing !== undefined) return this.#replace(writer, existing);
    this.#dataLength = (await dataFile?.writer.finish(this.#virtualSize)) ?? 0;
    this.#length = await writer.finish({
      inPlace: isInPlace(target.kind),
      beforeHeader: () => target.keepLength(),
      virtualSize: this.#virtualSize,
    });
    this.#cache.free();
    if (parameters.preallocation === 'falloc' || parameters.preallocation === 'full') {
      await dataFile?.target.file.allocate(0, this.#dataLength);
      await target.file.allocate(0, this.#length);
    }
    // The last chance to stop: the image is renamed next. An image in place has its new header already.
    if (!isInPlace(target.kind)) refuseAbort(this.#signal);
  }

  /** The old image stays valid until the new header is written; on error the file gets its old length back. */
  async #replace(writer: ReplacementWriter, existing: ExistingImage): Promise<void> {
    const uncounted = await writer.finish();
    this.#cache.free();
    refuseAbort(this.#signal);
    const { target } = this.#parts;
    const beforeHeader = () => target.keepLength();
    this.#replaced = await replaceImage(this.#guard, existing, uncounted, beforeHeader, this.#signal);
    this.#length = this.#replaced.length;
  }

  /** Frees the space of an existing file that only its old content used, once. */
  async #giveBack(): Promise<void> {
    const { target, existing, keptBytes, parameters } = this.#parts;
    if (target.kind !== 'existing' || this.#gaveBack) return;
    this.#gaveBack = true;
    // The new header must be durable first. Replacing an image has synced it already.
    if (existing === undefined) await target.file.sync();
    const unit = allocationUnit(parameters.geometry.clusterSize);
    const free =
      existing === undefined ? [{ from: unit, to: roundUp(keptBytes, unit) }] : this.#replaced?.free;
    await freeOldSpace(target, free ?? []);
  }

  async seal(): Promise<WrittenTarget> {
    const { target, dataFile, parameters, existing } = this.#parts;
    await dataFile?.target.seal(this.#dataLength);
    await this.#giveBack();
    await target.seal(this.#length);
    const { backing } = parameters;
    return {
      reference: {
        file: target.path,
        format: 'qcow2',
        dataFile: dataFile?.target.path,
        // The name starts at the directory of the target, which may be a symbolic link; the temporary file is not.
        backing: backing && { ...backing, file: backingFilePath(backing.file, target.file.name) },
        forceShare: true,
      },
      dataFileName: dataFile?.target.file.name,
      names: {
        backing: existing?.backing ?? backing?.file,
        backingFormat: existing?.image.extensions.backingFormat ?? backing?.format,
        dataFile: parameters.dataFile?.name,
      },
      size: this.#size,
      diskSize: this.#virtualSize,
      kind: target.kind,
      direct: [target, dataFile?.target].every((written) => written?.file.directRefused === undefined),
    };
  }

  async commit(): Promise<void> {
    const { target, dataFile } = this.#parts;
    const image = { target, length: this.#length };
    await this.#giveBack();
    this.#isClosed = true;
    await commitInOrder(
      dataFile === undefined ? [image] : [{ target: dataFile.target, length: this.#dataLength }, image],
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isClosed) return;
    await this.#parts.target.discard();
    await this.#parts.dataFile?.target.discard();
  }

  result(): OutputResult {
    const { compressor, target } = this.#parts;
    return {
      virtualSize: this.#virtualSize,
      fileSize: this.#length,
      clusterSize: this.clusterSize,
      ...this.#clusters.counts,
      ratio: this.#clusters.ratio,
      copiedClusters: this.#copied,
      correctedClusters: this.#corrected,
      engine: compressor?.engine,
      compressionLevel: compressor?.byContent === undefined ? compressor?.level : undefined,
      byContent: compressor?.byContent && distinctLevels(compressor.byContent),
      unportable: compressor?.unportable,
      ...writeResult(target),
    };
  }
}

/** Several kinds of content may have the same engine and level. */
function distinctLevels(levels: readonly EngineLevel[]): { engine: EngineName; level: number }[] {
  const isFirst = ({ engine, level }: EngineLevel, at: number) =>
    at === levels.findIndex((one) => one.engine === engine && one.level === level);
  return levels.filter(isFirst).map(({ engine, level }) => ({ engine, level }));
}
