/** Checks that each payload of an item inflates to exactly one cluster. On request collects facts of the streams. */
import type { Decompressor } from '../../engines/codec.js';
import { CorruptPayload } from '../../engines/corrupt-payload.js';
import { DeflateDecoder, LARGEST_WINDOW } from '../../engines/deflate-decoder.js';
import { readZstdFrames } from '../../engines/zstd-frame.js';
import { throwIfCancelled } from '../cancellation.js';
import { ItemError, type ItemFailure, isOfLostFile, type UnreadableItemRange } from '../item-failure.js';
import {
  type ExaminationItem,
  type ExaminationSetup,
  type ExaminedPayloads,
  PAYLOAD_FIELDS,
  type StreamFacts,
} from '../messages/examination.js';
import type { PoolSharedMemory } from '../messages/task.js';
import { endsOfRuns } from './payload-runs.js';
import { PositionalReader } from './positional-reader.js';

/** Facts of the streams so far. */
type Totals = { -readonly [Fact in keyof StreamFacts]: StreamFacts[Fact] };

export class PayloadExaminer {
  readonly #setup: ExaminationSetup;
  readonly #memory: PoolSharedMemory;
  readonly #reader: PositionalReader;
  readonly #decompressor: Decompressor;
  readonly #cluster: Uint8Array;
  readonly #decoder = new DeflateDecoder();
  /** The largest window so far, of all items. */
  #window = 0;

  /** @param decompressor of the setup's type */
  constructor(setup: ExaminationSetup, memory: PoolSharedMemory, decompressor: Decompressor) {
    this.#setup = setup;
    this.#memory = memory;
    this.#reader = new PositionalReader(setup.readAlignment);
    this.#decompressor = decompressor;
    this.#cluster = new Uint8Array(setup.clusterSize);
  }

  run({ payloads }: ExaminationItem): ExaminedPayloads {
    const broken: number[] = [];
    const unreadable: UnreadableItemRange[] = [];
    const facts: Totals = { payloadBytes: 0, window: 0, checksums: 0 };
    const runEnds = endsOfRuns(this.#setup.descriptor, payloads, PAYLOAD_FIELDS);
    for (let index = 0; index * PAYLOAD_FIELDS < payloads.length; index += 1) {
      throwIfCancelled(this.#memory);
      const [at = 0, offset = 0, storedLength = 0] = payloads.subarray(index * PAYLOAD_FIELDS);
      try {
        const stream = this.#inflate(offset, storedLength, runEnds?.[index]);
        if (this.#setup.streamFacts) this.#collectFacts(stream, facts);
      } catch (error) {
        const isKept = error instanceof CorruptPayload && error.isReadable;
        const failure = this.#failure(error, offset, at);
        broken.push(index);
        unreadable.push({ at, length: this.#setup.clusterSize, failure, ...(isKept && { isKept }) });
      }
    }
    return { facts: this.#setup.streamFacts ? facts : undefined, broken, unreadable };
  }

  /**
   * @param runEnd as in ClusterSegment
   * @returns the stream without trailing bytes, valid until the next call
   * @throws ItemError, CorruptPayload
   */
  #inflate(offset: number, storedLength: number, runEnd: number | undefined): Uint8Array {
    const { bytes, found } = this.#reader.read(this.#setup.descriptor, offset, storedLength, runEnd);
    if (found === 0) throw new CorruptPayload('it lies past the end of the file');
    // Bytes past the end of the file were read as zeros. If zeros end the stream, its written end is lost.
    const pastEnd = () => new CorruptPayload('it goes on past the end of the file');
    try {
      const length = this.#decompressor.decompress(bytes, this.#cluster);
      if (length > found) throw pastEnd();
      return bytes.subarray(0, length);
    } catch (error) {
      throw error instanceof CorruptPayload && error.isReadable && found < storedLength ? pastEnd() : error;
    }
  }

  #collectFacts(stream: Uint8Array, facts: Totals): void {
    facts.payloadBytes += stream.length;
    if (this.#setup.type === 'zstd') {
      const frames = readZstdFrames(stream);
      facts.window = Math.max(facts.window, ...frames.map(({ window }) => window));
      if (frames.every(({ hasChecksum }) => hasChecksum)) facts.checksums += 1;
      return;
    }
    // This is slower than inflating, and needless once the largest possible window is found.
    if (this.#window < LARGEST_WINDOW) {
      const { farthest } = this.#decoder.decode(stream, this.#cluster);
      if (farthest > this.#window) this.#window = 2 ** Math.ceil(Math.log2(farthest));
    }
    facts.window = this.#window;
  }

  #failure(error: unknown, offset: number, at: number): ItemFailure {
    if (error instanceof ItemError) {
      const failure = { ...error.failure, at };
      if (isOfLostFile(failure)) throw new ItemError(failure);
      return failure;
    }
    if (!(error instanceof CorruptPayload)) throw error;
    return { kind: 'corrupt', descriptor: this.#setup.descriptor, offset, at, message: error.reason };
  }
}
