/**
 * What a worker does with compressed clusters whose content nobody wants: finds out whether each payload inflates
 * to exactly one cluster, and on request what the streams are like.
 */
import type { Decompressor } from '../../engines/codec.js';
import { CorruptPayload } from '../../engines/corrupt-payload.js';
import { DeflateDecoder, LARGEST_WINDOW } from '../../engines/deflate-decoder.js';
import { readZstdFrames } from '../../engines/zstd-frame.js';
import { throwIfCancelled } from '../cancellation.js';
import {
  type BrokenPayload,
  type ExaminationItem,
  type ExaminationSetup,
  type Examined,
  type ItemFailure,
  PAYLOAD_FIELDS,
  type StreamFacts,
} from '../messages.js';
import { PositionalReader } from './positional-reader.js';
import { SegmentError } from './segment-error.js';

/** Facts of the streams that were looked at so far. */
type Totals = { -readonly [Fact in keyof StreamFacts]: StreamFacts[Fact] };

export class PayloadExaminer {
  readonly #setup: ExaminationSetup;
  readonly #reader: PositionalReader;
  readonly #decompressor: Decompressor;
  readonly #cluster: Uint8Array;
  readonly #decoder = new DeflateDecoder();
  /** The largest of any stream so far: none needs to be looked for that is not larger. */
  #window = 0;

  /** @param decompressor of the setup's type */
  constructor(setup: ExaminationSetup, decompressor: Decompressor) {
    this.#setup = setup;
    this.#reader = new PositionalReader(setup.readAlignment);
    this.#decompressor = decompressor;
    this.#cluster = new Uint8Array(setup.clusterSize);
  }

  pack({ payloads }: ExaminationItem): Examined {
    const broken: BrokenPayload[] = [];
    const facts: Totals = { payloadBytes: 0, window: 0, checksums: 0 };
    for (let index = 0; index * PAYLOAD_FIELDS < payloads.length; index += 1) {
      throwIfCancelled(this.#setup);
      const [offset = 0, storedLength = 0] = payloads.subarray(index * PAYLOAD_FIELDS);
      try {
        const stream = this.#inflate(offset, storedLength);
        if (this.#setup.streamFacts) this.#look(stream, facts);
      } catch (error) {
        const isReadable = error instanceof CorruptPayload && error.isReadable;
        broken.push({ index, failure: this.#failure(error, offset), isReadable });
      }
    }
    return { facts: this.#setup.streamFacts ? facts : undefined, broken };
  }

  /**
   * @returns the stream without trailing bytes, valid until the next call
   * @throws SegmentError, CorruptPayload
   */
  #inflate(offset: number, storedLength: number): Uint8Array {
    const { bytes, found } = this.#reader.read(this.#setup.descriptor, offset, storedLength);
    if (found === 0) throw new CorruptPayload('it lies past the end of the file');
    // What the file does not have was read as zeros, which can be the rest of a stream, but not of the one written.
    const pastEnd = () => new CorruptPayload('it goes on past the end of the file');
    try {
      const length = this.#decompressor.decompress(bytes, this.#cluster);
      if (length > found) throw pastEnd();
      return bytes.subarray(0, length);
    } catch (error) {
      throw error instanceof CorruptPayload && error.isReadable && found < storedLength ? pastEnd() : error;
    }
  }

  #look(stream: Uint8Array, facts: Totals): void {
    facts.payloadBytes += stream.length;
    if (this.#setup.type === 'zstd') {
      const frames = readZstdFrames(stream);
      facts.window = Math.max(facts.window, ...frames.map(({ window }) => window));
      if (frames.every(({ hasChecksum }) => hasChecksum)) facts.checksums += 1;
      return;
    }
    // This takes longer than inflating, and cannot find more than the largest window.
    if (this.#window < LARGEST_WINDOW) {
      const { farthest } = this.#decoder.decode(stream, this.#cluster);
      if (farthest > this.#window) this.#window = 2 ** Math.ceil(Math.log2(farthest));
    }
    facts.window = this.#window;
  }

  #failure(error: unknown, offset: number): ItemFailure {
    if (error instanceof SegmentError) return error.failure;
    if (!(error instanceof CorruptPayload)) throw error;
    return { kind: 'corrupt', descriptor: this.#setup.descriptor, offset, at: 0, message: error.reason };
  }
}
