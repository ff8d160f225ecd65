/** A raw disk as the output of a conversion. */
import { RawWriter, smallTarget } from '../raw/raw-writer.js';
import { SECTOR_SIZE } from '../sector.js';
import { isInPlace, type Target } from '../storage/target.js';
import type { FindRuns } from '../workers/messages/runs.js';
import { type PipelineSettings, packIn, refuseAbort, runPipeline } from '../workers/pipeline.js';
import { plan } from '../workers/plan.js';
import type { WorkerPool } from '../workers/pool.js';
import type { Input, NextItem } from './input.js';
import type { ConvertOptions } from './options.js';
import {
  type ItemRecords,
  type Output,
  type OutputResult,
  type OutputSetup,
  SPARSE_SIZE,
  type WrittenTarget,
  writeResult,
} from './output.js';
import type { OutputTarget } from './output-target.js';
import { notPreallocated } from './validate.js';

type RawInput = Pick<Input, 'size' | 'content'>;
type RawOptions = Pick<ConvertOptions, 'sparseSize' | 'targetIsZero' | 'create' | 'signal'>;

/** The unit of the workers' items; a raw disk has no clusters. */
const PIECE_BYTES = 4096;

export class RawOutput implements Output<FindRuns> {
  readonly setup: OutputSetup<FindRuns>;
  readonly clusterSize = PIECE_BYTES;
  readonly isInOrder: boolean;
  readonly room: number | undefined;
  readonly #target: Target;
  readonly #writer: RawWriter;
  readonly #input: RawInput;
  /** Bytes of an export or device; undefined: a file, which grows. */
  readonly #capacity: number | undefined;
  readonly #signal: AbortSignal | undefined;
  /** Whether every block of the file is allocated. */
  readonly #isAllocated: boolean;
  #isClosed = false;
  #diskSize = 0;
  #length = 0;

  /**
   * @param target opened for this output; the caller discards it on error
   * @throws Qcow2cError ERR_USAGE for a target that is too small, ERR_IO when the disk cannot be preallocated
   */
  static async open(options: RawOptions, target: OutputTarget, input: RawInput): Promise<RawOutput> {
    const preallocation = options.create?.preallocation ?? 'off';
    if (target.kind === 'device' && preallocation !== 'off') {
      throw notPreallocated(preallocation);
    }
    const output = new RawOutput(options, target, input);
    if (input.size !== undefined) await output.#allocate(input.size);
    return output;
  }

  private constructor(
    { sparseSize = SPARSE_SIZE, targetIsZero = false, signal, create }: RawOptions,
    { target, file, kind, existingSize }: OutputTarget,
    input: RawInput,
  ) {
    this.setup = {
      task: 'find runs',
      keepZeros: sparseSize === 0 || create?.preallocation === 'full',
      sparseSize,
    };
    // An existing file may be longer, and a device is. A stream has a digest of its own.
    this.isInOrder = kind === 'new';
    this.room = isInPlace(kind) ? existingSize : undefined;
    this.#target = target;
    this.#signal = signal;
    this.#isAllocated = create?.preallocation === 'falloc' && kind === 'new';
    this.#input = input;
    this.#capacity = kind === 'device' ? existingSize : undefined;
    this.#writer = new RawWriter(file, input.size, { kind, existingSize, isZero: targetIsZero, signal });
  }

  async run(
    pool: WorkerPool<FindRuns>,
    items: () => NextItem,
    { unreadable, digest, sha256 }: ItemRecords,
    settings: PipelineSettings,
  ): Promise<number> {
    await this.#refuseCutDisk(pool);
    return runPipeline(
      {
        next: items(),
        pack: packIn(pool),
        store: ({ bytes, runs }, { guestOffset, length }) =>
          this.#writer.write(guestOffset, bytes.subarray(0, length), runs),
        stored: async ({ bytes, digests, unreadable: lost }, { guestOffset, length }) => {
          await sha256?.add(guestOffset, bytes.subarray(0, length));
          if (digests !== undefined) await digest?.add(guestOffset, digests);
          unreadable.itemDone(lost, guestOffset + length);
        },
        stores: this.#target.file.concurrentItems,
        storedBytes: () => this.#writer.dataBytes,
      },
      settings,
    );
  }

  /** Refuses an export that ends inside the last sector of the disk, unless the disk has zeros there. */
  async #refuseCutDisk(pool: WorkerPool<FindRuns>): Promise<void> {
    const { content, size } = this.#input;
    const capacity = this.#capacity ?? Number.POSITIVE_INFINITY;
    if (size === undefined || capacity >= size || content === undefined || !('source' in content)) return;
    const guestOffset = size - SECTOR_SIZE;
    const lastSector = { size: SECTOR_SIZE, map: (at: number) => content.source.map(guestOffset + at) };
    // The conversion reports what cannot be read.
    const settings = { itemSize: SECTOR_SIZE, keepZeros: false, onUnreadable: () => {} };
    for await (const { segments, length } of plan(lastSector, settings)) {
      const { runs, bytes } = await packIn(pool)({ guestOffset, length, segments }, 0);
      const cut = bytes.subarray(capacity - guestOffset, length);
      if (runs.length > 0 && cut.some((byte) => byte !== 0)) {
        throw smallTarget(this.#target.file.name, capacity, size);
      }
    }
  }

  async #allocate(diskSize: number): Promise<void> {
    if (this.#isAllocated) await this.#target.file.allocate(0, diskSize);
  }

  async finish(diskSize: number): Promise<void> {
    this.#diskSize = diskSize;
    // The size of a stream is known only now. Allocating a range again changes nothing.
    await this.#allocate(diskSize);
    this.#length = await this.#writer.finish(diskSize);
    // The last chance to stop: a new file is renamed next.
    refuseAbort(this.#signal);
  }

  async seal(): Promise<WrittenTarget> {
    const { path, kind, file } = this.#target;
    await this.#target.seal(this.#length);
    return {
      reference: { file: path, format: 'raw', forceShare: true },
      dataFileName: undefined,
      names: undefined,
      size: this.#diskSize,
      diskSize: kind === 'new' ? this.#diskSize : undefined,
      kind,
      direct: file.directRefused === undefined,
    };
  }

  commit(): Promise<void> {
    this.#isClosed = true;
    return this.#target.commit(this.#length);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed) await this.#target.discard();
  }

  result(): OutputResult {
    return {
      virtualSize: this.#diskSize,
      fileSize: this.#length,
      clusterSize: undefined,
      compressedClusters: 0,
      normalClusters: 0,
      copiedClusters: 0,
      correctedClusters: undefined,
      zeroClusters: 0,
      compressedBytes: 0,
      ratio: undefined,
      engine: undefined,
      compressionLevel: undefined,
      byContent: undefined,
      unportable: undefined,
      ...writeResult(this.#target),
    };
  }
}
