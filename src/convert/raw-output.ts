/** A raw disk as the output of a conversion. */
import { usageError } from '../errors.js';
import { RawWriter } from '../raw/raw-writer.js';
import { isInPlace, type Target } from '../storage/target.js';
import type { FindRuns } from '../workers/messages/runs.js';
import { type PipelineSettings, packIn, refuseAbort, runPipeline } from '../workers/pipeline.js';
import type { WorkerPool } from '../workers/pool.js';
import type { NextItem } from './input.js';
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

type RawOptions = Pick<ConvertOptions, 'sparseSize' | 'targetIsZero' | 'create' | 'signal'>;

/** Items that are sent at once to a target that answers late. */
const STORES = 4;

/** The unit of the workers' items; a raw disk has no clusters. */
const PIECE_BYTES = 4096;

export class RawOutput implements Output<FindRuns> {
  readonly setup: OutputSetup<FindRuns>;
  readonly clusterSize = PIECE_BYTES;
  readonly isInOrder: boolean;
  readonly room: number | undefined;
  readonly #target: Target;
  readonly #writer: RawWriter;
  readonly #signal: AbortSignal | undefined;
  /** Whether every block of the file is allocated. */
  readonly #isAllocated: boolean;
  #isClosed = false;
  #diskSize = 0;
  #length = 0;

  /**
   * @param target opened for this output; the caller discards it on error
   * @param diskSize bytes; undefined: a stream, whose end is the disk's
   * @throws Qcow2cError ERR_USAGE for a target that is too small, ERR_IO when the disk cannot be preallocated
   */
  static async open(
    options: RawOptions,
    target: OutputTarget,
    diskSize: number | undefined,
  ): Promise<RawOutput> {
    const preallocation = options.create?.preallocation ?? 'off';
    if (target.kind === 'device' && preallocation !== 'off') {
      throw usageError(`Unsupported preallocation mode '${preallocation}' on a device or an NBD export`);
    }
    const output = new RawOutput(options, target, diskSize);
    if (diskSize !== undefined) await output.#allocate(diskSize);
    return output;
  }

  private constructor(
    { sparseSize = SPARSE_SIZE, targetIsZero = false, signal, create }: RawOptions,
    { target, file, kind, existingSize }: OutputTarget,
    diskSize: number | undefined,
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
    this.#writer = new RawWriter(file, diskSize, { kind, existingSize, isZero: targetIsZero, signal });
  }

  run(
    pool: WorkerPool<FindRuns>,
    items: () => NextItem,
    { unreadable, digest, sha256 }: ItemRecords,
    settings: PipelineSettings,
  ): Promise<number> {
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
        stores: this.#target.file.answersLate ? STORES : undefined,
        storedBytes: () => this.#writer.dataBytes,
      },
      settings,
    );
  }

  async #allocate(diskSize: number): Promise<void> {
    if (this.#isAllocated) await this.#target.file.allocate(0, diskSize);
  }

  async finish(diskSize: number): Promise<void> {
    this.#diskSize = diskSize;
    // The size of a stream is known only now. Allocating a range again changes nothing.
    await this.#allocate(diskSize);
    this.#length = await this.#writer.finish(diskSize);
    // The last chance to stop: a new file gets its name next.
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
