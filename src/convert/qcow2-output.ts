/** A qcow2 image as the target: its writers, and where the workers' answers go in it. */
import type { CompressorChoice } from '../compress/codec.js';
import { UNCHANGED } from '../compress/messages.js';
import type { PackedItem, WorkerPool } from '../compress/pool.js';
import { backingFilePath } from '../image/image-name.js';
import { type PipelineSettings, refuseAbort } from '../pipeline/pipeline.js';
import type { PlannedItem } from '../pipeline/plan.js';
import { guestCluster } from '../qcow2/addresses.js';
import type { ImageParameters } from '../qcow2/create-options.js';
import { allocationUnit, ImageWriter } from '../qcow2/image-writer.js';
import type { Subclusters } from '../qcow2/l2-entry.js';
import type { RawWriter } from '../raw/raw-writer.js';
import { alignedMemory, roundUp } from '../storage/aligned-memory.js';
import { CompressedWriteCache } from '../storage/compressed-write-cache.js';
import { OverlapGuard } from '../storage/overlap-guard.js';
import { commitInOrder, type Target } from '../storage/target.js';
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
  /** Called when all clusters are written. */
  readonly addBitmaps: (writer: ImageWriter) => Promise<void>;
  readonly runClusters: RunClusters;
}

export class Qcow2Output implements Output {
  readonly setup: OutputSetup;
  readonly room: number | undefined;
  readonly #parts: Qcow2Parts;
  readonly #cache: CompressedWriteCache;
  readonly #writer: ImageWriter;
  readonly #signal: AbortSignal | undefined;
  /** Guest clusters below this one are dealt with. */
  #next = 0;
  #copied = 0;
  #virtualSize = 0;
  #length = 0;
  #dataLength = 0;

  /** @throws Qcow2cError ERR_IO when a device's old header cannot be removed */
  static async open(options: ConvertOptions, parts: Qcow2Parts): Promise<Qcow2Output> {
    const { target, parameters, virtualSize, cacheSize } = parts;
    const unit = allocationUnit(parameters.geometry.clusterSize);
    // Everything goes behind what is kept, so that an old image stays whole until its header is replaced.
    const firstFree = Math.max(unit, roundUp(target.keptBytes, unit));
    const guard = new OverlapGuard(target.file, firstFree);
    // A device may hold an old image: without its header nobody takes a half-written one for whole.
    if (target.kind === 'device') await guard.writeHeader([alignedMemory(unit).subarray(0, unit)]);
    const cache = CompressedWriteCache.create(guard, unit, cacheSize);
    const writer = new ImageWriter(parameters, virtualSize, guard, cache, firstFree);
    return new Qcow2Output(options, parts, cache, writer);
  }

  private constructor(
    { sparseSize = SPARSE_SIZE, keepTarget = false, recompress, signal, ...options }: ConvertOptions,
    parts: Qcow2Parts,
    cache: CompressedWriteCache,
    writer: ImageWriter,
  ) {
    const { compressor, parameters, virtualSize } = parts;
    const { geometry, version, backing, preallocation } = parameters;
    const asked = (recompress || options.compressionLevel) ?? options.compressionWindowBits;
    this.setup = {
      output: 'clusters',
      clusterSize: geometry.clusterSize,
      compressor,
      passthrough: compressor !== undefined && !asked,
      // Version 2 has no zero clusters: there zeros hide a backing file only as data.
      keepZeros: sparseSize === 0 || preallocation === 'full' || (backing !== undefined && version === 2),
      sparseSize,
      subclusters: geometry.extendedL2 && compressor === undefined,
    };
    this.room = keepTarget ? virtualSize : undefined;
    this.#parts = parts;
    this.#cache = cache;
    this.#writer = writer;
    this.#signal = signal;
  }

  run(
    pool: WorkerPool,
    items: () => NextItem,
    unreadable: UnreadableLog,
    settings: PipelineSettings,
  ): Promise<number> {
    const { clusterSize } = this.setup;
    const { counts } = this.#writer;
    return this.#parts.runClusters(
      {
        pack: ({ guestOffset, length, segments, backing, changed }, slot) => {
          const clusters = Math.ceil(length / clusterSize);
          return pool.pack({ segments, backing, changed, clusters, length, slot }, guestOffset);
        },
        store: async (packed, item) => {
          await this.#store(packed, item);
          unreadable.itemDone(packed.unreadable, item.guestOffset + item.length);
        },
        storedBytes: () => counts.compressedBytes + counts.normalClusters * clusterSize,
      },
      items,
      clusterSize,
      settings,
    );
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
    await dataFile?.writer.write(guestOffset, ...unpacked(packed, clusterSize, length));
  }

  /** Zeros need a word only where a backing file would show through. */
  async #storeZeros(cluster: number): Promise<void> {
    if (this.#parts.parameters.backing === undefined) return;
    await this.#passOver(cluster);
    await this.#writer.writeZero(guestCluster(cluster));
    this.#next = cluster + 1;
  }

  /** Goes on to `cluster`: what nobody wrote is given its place when everything is to be preallocated. */
  async #passOver(cluster: number): Promise<void> {
    const count = cluster - this.#next;
    if (this.#parts.parameters.preallocation === 'off' || count === 0) return;
    await this.#writer.reserve(guestCluster(this.#next), count);
    this.#next = cluster;
  }

  #subclusters({ subclusters }: PackedItem, index: number): Subclusters | undefined {
    if (subclusters === undefined) return undefined;
    const data = subclusters[index] ?? 0;
    // Without a backing file what is unallocated reads as zeros anyway.
    return { data, zero: this.#parts.parameters.backing === undefined ? 0 : ALL_SUBCLUSTERS - data };
  }

  async finish(diskSize: number): Promise<void> {
    const { target, dataFile, parameters, addBitmaps } = this.#parts;
    this.#virtualSize = this.#parts.virtualSize ?? diskSize;
    await this.#passOver(Math.ceil(this.#virtualSize / this.setup.clusterSize));
    await addBitmaps(this.#writer);
    this.#dataLength = (await dataFile?.writer.finish(this.#virtualSize)) ?? 0;
    this.#length = await this.#writer.finish({
      inPlace: target.kind !== 'new',
      virtualSize: this.#virtualSize,
    });
    this.#cache.free();
    if (parameters.preallocation === 'falloc' || parameters.preallocation === 'full') {
      await dataFile?.target.file.allocate(0, this.#dataLength);
      await target.file.allocate(0, this.#length);
    }
    // The last moment: from here on the image gets its name. A kept one has its new header already.
    if (target.kind === 'new') refuseAbort(this.#signal);
  }

  async seal(): Promise<WrittenTarget> {
    const { target, dataFile, parameters } = this.#parts;
    await dataFile?.target.seal(this.#dataLength);
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
        backing: backing?.file,
        backingFormat: backing?.format,
        dataFile: parameters.dataFile?.name,
      },
      size: this.#virtualSize,
      kind: target.kind,
      direct: [target, dataFile?.target].every((written) => written?.file.directRefused === undefined),
    };
  }

  async commit(): Promise<void> {
    const { target, dataFile } = this.#parts;
    const image = { target, length: this.#length };
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
      engine: compressor?.engine,
      compressionLevel: compressor?.level,
      tableLevel: compressor?.tableLevel,
      ...targetFacts(target),
    };
  }
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
