/** A qcow2 image as the target: its writers, and where the workers' answers go in it. */
import { roundUp } from '../arithmetic.js';
import type { CompressorChoice } from '../engines/codec.js';
import { backingFilePath } from '../image/image-name.js';
import { guestCluster, type HostOffset } from '../qcow2/addresses.js';
import type { BitmapContent } from '../qcow2/bitmap-writer.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import { TABLE_ENTRY_BYTES } from '../qcow2/geometry.js';
import { allocationUnit, ImageWriter } from '../qcow2/image-writer.js';
import type { Subclusters } from '../qcow2/l2-entry.js';
import type { RawWriter } from '../raw/raw-writer.js';
import { CompressedWriteCache } from '../storage/compressed-write-cache.js';
import { type FileRange, OverlapGuard } from '../storage/overlap-guard.js';
import { commitInOrder, isInPlace, type Target } from '../storage/target.js';
import { alignedMemory } from '../system/aligned-memory.js';
import { UNCHANGED } from '../workers/messages.js';
import { type PipelineSettings, refuseAbort } from '../workers/pipeline.js';
import type { PlannedItem } from '../workers/plan.js';
import type { PackedItem, WorkerPool } from '../workers/pool.js';
import type { DiskRest } from './disk-rest.js';
import type { ExistingImage } from './existing-image.js';
import { beginReplacement, type ReplacedImage, replaceImage } from './image-replacement.js';
import { UNFINISHED_MARK } from './in-place-target.js';
import type { ConvertOptions } from './options.js';
import {
  type NextItem,
  type Output,
  type OutputResult,
  type OutputSetup,
  type RunClusters,
  SPARSE_SIZE,
  targetFacts,
} from './output.js';
import type { UnreadableLog } from './unreadable-log.js';
import type { WrittenTarget } from './written-target.js';

/** All 32 subclusters of a cluster. */
const ALL_SUBCLUSTERS = 0xffffffff;

/** What an image is made of and written to. */
export interface Qcow2Parts {
  readonly parameters: ImageParameters;
  /** Bytes; undefined: a stream, whose end is the disk's. */
  readonly virtualSize: number | undefined;
  readonly compressor: CompressorChoice | undefined;
  readonly target: Target;
  /** Bytes of the compressed write cache. */
  readonly cacheSize: number;
  /** Where the guest clusters go, with an external data file. */
  readonly dataFile: { readonly target: Target; readonly writer: RawWriter } | undefined;
  /** Host clusters that bitmaps take in a new image at most, and what they hold when the disk's first `end` bytes are written. */
  readonly bitmaps: { readonly clusters: number; of(end: number): readonly BitmapContent[] };
  /** Bytes; undefined: a stream. */
  readonly sourceSize: number | undefined;
  /** The image in the target, of which only the disk is written; undefined: a new one. */
  readonly existing: ExistingImage | undefined;
  /** What fills up the source's last cluster in an existing image. */
  readonly rest: DiskRest | undefined;
  /** Bytes at the start of the target that stay as they are until the header. */
  readonly keptBytes: number;
  readonly runClusters: RunClusters;
}

export class Qcow2Output implements Output {
  readonly setup: OutputSetup;
  readonly room: number | undefined;
  readonly #parts: Qcow2Parts;
  readonly #guard: OverlapGuard;
  readonly #cache: CompressedWriteCache;
  readonly #writer: ImageWriter;
  readonly #signal: AbortSignal | undefined;
  /** Guest clusters below this one are dealt with. */
  #next = 0;
  #copied = 0;
  #corrected: number | undefined;
  /** Where the source ends, when its last cluster is filled up, in bytes. */
  #sourceEnd = Number.POSITIVE_INFINITY;
  /** Bytes of the source. */
  #size = 0;
  #virtualSize = 0;
  #length = 0;
  #replaced: ReplacedImage | undefined;
  #gaveBack = false;
  #dataLength = 0;

  /** @throws Qcow2cError ERR_IO when a device's old header cannot be removed */
  static async open(options: ConvertOptions, parts: Qcow2Parts): Promise<Qcow2Output> {
    const { target, parameters, virtualSize, cacheSize, bitmaps, existing, keptBytes } = parts;
    const unit = allocationUnit(parameters.geometry.clusterSize);
    // Everything goes where nothing is kept, so that what is there stays whole until its header is replaced.
    const firstFree = existing?.free[0]?.from ?? Math.max(unit, roundUp(keptBytes, unit));
    const guard = new OverlapGuard(target.file, existing === undefined ? firstFree : unit);
    if (existing !== undefined) {
      guard.protect(usedRanges(existing, unit));
      await beginReplacement(guard, existing);
    } else if (keptBytes === 0) await beginInPlace(target, guard, unit);
    const cache = CompressedWriteCache.create(guard, unit, cacheSize);
    const writer = new ImageWriter(parameters, virtualSize, guard, cache, firstFree, {
      bitmapClusters: bitmaps.clusters,
      replaced: existing && { free: existing.free, l1Entries: existing.image.header.l1Entries },
    });
    return new Qcow2Output(options, parts, guard, cache, writer);
  }

  private constructor(
    { sparseSize = SPARSE_SIZE, keepTarget = false, recompress, signal, ...options }: ConvertOptions,
    parts: Qcow2Parts,
    guard: OverlapGuard,
    cache: CompressedWriteCache,
    writer: ImageWriter,
  ) {
    const { compressor, parameters, virtualSize } = parts;
    const { geometry, version, preallocation } = parameters;
    const asked = (recompress || options.compressionLevel) ?? options.compressionWindowBits;
    this.setup = {
      output: 'clusters',
      clusterSize: geometry.clusterSize,
      compressor,
      passthrough: compressor !== undefined && !asked,
      // Version 2 has no zero clusters: there zeros hide a backing file only as data.
      keepZeros: sparseSize === 0 || preallocation === 'full' || (version === 2 && hasBacking(parts)),
      sparseSize,
      subclusters: geometry.extendedL2 && compressor === undefined,
    };
    this.room = keepTarget ? virtualSize : undefined;
    this.#parts = parts;
    this.#guard = guard;
    this.#cache = cache;
    this.#writer = writer;
    this.#signal = signal;
  }

  async run(
    pool: WorkerPool,
    items: () => NextItem,
    unreadable: UnreadableLog,
    settings: PipelineSettings,
  ): Promise<number> {
    const { clusterSize } = this.setup;
    const { counts } = this.#writer;
    const { bitmaps, sourceSize } = this.#parts;
    // As early as it is known which of their bits are set: a lost end of the file costs data and no bitmap.
    if (sourceSize !== undefined) await this.#writer.addBitmaps(bitmaps.of(sourceSize));
    const parts = {
      pack: ({ guestOffset, length, segments, backing, changed }: PlannedItem, slot: number) => {
        const clusters = Math.ceil(length / clusterSize);
        return pool.pack({ segments, backing, changed, clusters, length, slot }, guestOffset);
      },
      store: async (packed: PackedItem, item: PlannedItem) => {
        await this.#store(packed, item);
        unreadable.itemDone(packed.unreadable, item.guestOffset + item.length);
      },
      storedBytes: () => counts.compressedBytes + counts.normalClusters * clusterSize,
    };
    const end = await this.#parts.runClusters(parts, () => this.#filledUp(items()), clusterSize, settings);
    return Math.min(end, this.#sourceEnd);
  }

  #filledUp(next: NextItem): NextItem {
    const { rest } = this.#parts;
    if (rest === undefined) return next;
    return rest.fill(next, (end) => {
      this.#sourceEnd = end;
    });
  }

  /** Hands an item's clusters to the writer. */
  async #store(packed: PackedItem, { guestOffset, length }: PlannedItem): Promise<void> {
    const { clusterSize } = this.setup;
    const { dataFile } = this.#parts;
    const { sizes, bytes } = packed;
    const first = guestOffset / clusterSize;
    let at = 0;
    for (const [index, size] of sizes.entries()) {
      if (size === UNCHANGED) continue;
      const cluster = first + index;
      if (size === 0) {
        await this.#storeZeros(cluster);
        continue;
      }
      await this.#passOver(cluster);
      const payload = bytes.subarray(at, at + size);
      if (size < clusterSize) {
        await this.#writer.writeCompressed(guestCluster(cluster), payload);
      } else if (dataFile === undefined) {
        await this.#writer.writeNormal(guestCluster(cluster), payload, this.#subclusters(packed, index));
      } else {
        await this.#writer.mapExternal(guestCluster(cluster), this.#subclusters(packed, index));
      }
      this.#next = cluster + 1;
      at += size;
    }
    this.#copied += packed.copied;
    if (packed.corrected !== undefined) this.#corrected = (this.#corrected ?? 0) + packed.corrected;
    await dataFile?.writer.write(guestOffset, ...unpacked(packed, clusterSize, length));
  }

  /** Zeros need a word only where a backing file would show through. */
  async #storeZeros(cluster: number): Promise<void> {
    if (!hasBacking(this.#parts)) return;
    await this.#passOver(cluster);
    await this.#writer.writeZero(guestCluster(cluster));
    this.#next = cluster + 1;
  }

  /**
   * Goes on to `cluster`. What was not written until there gets its place when everything is to be preallocated, and
   * hides the backing file of an existing image.
   */
  async #passOver(cluster: number): Promise<void> {
    const { parameters, existing } = this.#parts;
    const count = cluster - this.#next;
    if (count === 0) return;
    if (parameters.preallocation !== 'off') await this.#writer.reserve(guestCluster(this.#next), count);
    else if (existing?.backing !== undefined) await this.#writer.writeZero(guestCluster(this.#next), count);
    else return;
    this.#next = cluster;
  }

  #subclusters({ subclusters }: PackedItem, index: number): Subclusters | undefined {
    if (subclusters === undefined) return undefined;
    const data = subclusters[index] ?? 0;
    // Without a backing file what is unallocated reads as zeros anyway.
    return { data, zero: hasBacking(this.#parts) ? ALL_SUBCLUSTERS - data : 0 };
  }

  async finish(diskSize: number): Promise<void> {
    const { target, dataFile, parameters, bitmaps, existing } = this.#parts;
    this.#size = diskSize;
    this.#virtualSize = this.#parts.virtualSize ?? diskSize;
    const end = Math.ceil((existing === undefined ? this.#virtualSize : diskSize) / this.setup.clusterSize);
    await this.#passOver(end);
    if (existing !== undefined) await this.#keepRest(existing, end);
    if (this.#parts.sourceSize === undefined) await this.#writer.addBitmaps(bitmaps.of(diskSize));
    if (existing !== undefined) return this.#replace(existing);
    this.#dataLength = (await dataFile?.writer.finish(this.#virtualSize)) ?? 0;
    this.#length = await this.#writer.finish({
      inPlace: isInPlace(target.kind),
      beforeHeader: () => target.keepLength(),
      virtualSize: this.#virtualSize,
    });
    this.#cache.free();
    if (parameters.preallocation === 'falloc' || parameters.preallocation === 'full') {
      await dataFile?.target.file.allocate(0, this.#dataLength);
      await target.file.allocate(0, this.#length);
    }
    // The last moment: from here on the image gets its name. An existing image has its new header already.
    if (!isInPlace(target.kind)) refuseAbort(this.#signal);
  }

  /** @param end the first guest cluster that was not written */
  async #keepRest({ image, reader, virtualSize }: ExistingImage, end: number): Promise<void> {
    const { header, geometry } = image;
    const read = async (offset: number, length: number) => {
      const bytes = new Uint8Array(length);
      await reader.read(offset, bytes);
      return bytes;
    };
    const tables = {
      l1: await read(header.l1Offset, header.l1Entries * TABLE_ENTRY_BYTES),
      readL2: (offset: HostOffset) => read(offset, geometry.clusterSize),
    };
    await this.#writer.keepRest(guestCluster(end), tables, virtualSize);
  }

  /** Until the new header is written the old image is whole, and gets its length back after an error. */
  async #replace(existing: ExistingImage): Promise<void> {
    const uncounted = await this.#writer.finishUncounted();
    this.#cache.free();
    refuseAbort(this.#signal);
    const { target } = this.#parts;
    const beforeHeader = () => target.keepLength();
    this.#replaced = await replaceImage(this.#guard, existing, uncounted, beforeHeader, this.#signal);
    this.#length = this.#replaced.length;
  }

  /** Gives back what only the old state of an existing file referred to, once. */
  async #giveBack(): Promise<void> {
    const { target, existing, keptBytes, parameters } = this.#parts;
    if (target.kind !== 'existing' || this.#gaveBack) return;
    this.#gaveBack = true;
    // Not before the new header is durable; an image that is replaced has seen to that.
    if (existing === undefined) await target.file.sync();
    const unit = allocationUnit(parameters.geometry.clusterSize);
    const free =
      existing === undefined ? [{ from: unit, to: roundUp(keptBytes, unit) }] : this.#replaced?.free;
    for (const { from, to } of free ?? []) {
      // A file system that cannot do that keeps the blocks, which the next conversion uses.
      if (to > from) await target.file.punch(from, to - from);
    }
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
        // Beside a symbolic link, which the temporary file is not, the name leads elsewhere.
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
    try {
      await this.#giveBack();
    } catch (error) {
      await this.discard();
      throw error;
    }
    await commitInOrder(
      dataFile === undefined ? [image] : [{ target: dataFile.target, length: this.#dataLength }, image],
    );
  }

  async discard(): Promise<void> {
    await this.#parts.target.discard();
    await this.#parts.dataFile?.target.discard();
  }

  result(): OutputResult {
    const { compressor, target } = this.#parts;
    return {
      virtualSize: this.#virtualSize,
      fileSize: this.#length,
      clusterSize: this.setup.clusterSize,
      ...this.#writer.counts,
      copiedClusters: this.#copied,
      correctedClusters: this.#corrected,
      engine: compressor?.engine,
      compressionLevel: compressor?.level,
      tableLevel: compressor?.tableLevel,
      ...targetFacts(target),
    };
  }
}

/** Whether what the image does not hold shows a backing file. */
function hasBacking({ parameters, existing }: Qcow2Parts): boolean {
  return parameters.backing !== undefined || existing?.backing !== undefined;
}

/** What lies between the free ranges of an existing image, behind its header. */
function* usedRanges({ free }: ExistingImage, unit: number): Generator<FileRange> {
  let at = unit;
  for (const { from, to } of free) {
    if (from > at) yield { offset: at, length: from - at };
    at = to;
  }
}

/**
 * Removes the header of an old image on a device, and marks a file that is written in place: without a header nobody
 * takes a half-written image for a whole one, and by the mark the next conversion knows what was left behind.
 */
async function beginInPlace({ kind }: Target, guard: OverlapGuard, unit: number): Promise<void> {
  if (!isInPlace(kind)) return;
  const first = alignedMemory(unit).subarray(0, unit);
  if (kind === 'existing') first.set(UNFINISHED_MARK);
  await guard.writeHeader([first]);
}

/** An item's normal clusters moved to where they are on the disk, zeros between them, and which these are. */
function unpacked(
  { sizes, bytes }: PackedItem,
  clusterSize: number,
  length: number,
): [bytes: Uint8Array, runs: Uint32Array] {
  const runs: number[] = [];
  let stored = sizes.reduce((count, size) => count + (size === clusterSize ? 1 : 0), 0);
  for (let index = sizes.length - 1; index >= 0; index -= 1) {
    const at = index * clusterSize;
    if (sizes[index] !== clusterSize) {
      bytes.fill(0, at, at + clusterSize);
      continue;
    }
    stored -= 1;
    bytes.copyWithin(at, stored * clusterSize, (stored + 1) * clusterSize);
    runs.unshift(at, Math.min(at + clusterSize, length));
  }
  return [bytes.subarray(0, length), Uint32Array.from(runs)];
}
