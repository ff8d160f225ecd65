/** What is converted, as the pipeline takes it: images that can be read anywhere, or a stream. */
import { roundUp } from '../arithmetic.js';
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { PROBE_BYTES, probeFormat } from '../image/probe.js';
import type { Source } from '../image/source.js';
import type { StreamSource } from '../raw/stream-source.js';
import { SECTOR_SIZE } from '../sector.js';
import { type PlannedItem, type PlanSettings, plan } from '../workers/plan.js';
import type { WorkerPool } from '../workers/pool.js';
import { segmentsOf } from '../workers/segments.js';
import type { ContentDigest } from './content-digest.js';
import type { OpenedSources } from './open-sources.js';
import { planOverlay } from './plan-overlay.js';

export interface ItemSettings extends PlanSettings {
  /** What the target's backing file shows; undefined: there is none. */
  readonly backing: Source | undefined;
  /** Of the target, in bytes. */
  readonly clusterSize: number;
  /** Bytes that the target has room for. */
  readonly room: number | undefined;
}

export interface Input {
  /** Bytes of the virtual disk; undefined: known at the end of the stream only. */
  readonly size: number | undefined;
  /** The same for showing progress only: what it seems to be. */
  readonly likelySize: number | undefined;
  readonly compressionTypes: ReadonlySet<CompressionType>;
  /** What offset, length and address of a read on any descriptor must be multiples of, in bytes. */
  readonly readAlignment: number;
  /** Whether items come in through the pool's memory. */
  readonly arrives: boolean;
  fileOf(descriptor: number): string | undefined;
  /** @returns what gives the next item in guest order, to be worked on in a slot of the pool */
  items(settings: ItemSettings, pool: WorkerPool): (slot: number) => Promise<PlannedItem | undefined>;
  /** @throws Qcow2cError ERR_SOURCE_CHANGED */
  refuseChanges(): Promise<void>;
}

export function imageInput({ source, compressionTypes, readAlignment }: OpenedSources): Input {
  return {
    size: source.size,
    likelySize: source.size,
    compressionTypes,
    readAlignment,
    arrives: false,
    fileOf: (descriptor) => source.fileOf(descriptor),
    items(settings) {
      const { backing, clusterSize } = settings;
      const items =
        backing === undefined ? plan(source, settings) : planOverlay(source, backing, clusterSize, settings);
      return async () => (await items.next()).value ?? undefined;
    },
    refuseChanges: () => source.refuseChanges(),
  };
}

/** What is known of a stream before it comes. */
export interface StreamFacts {
  /** Bytes that it must have; undefined: as many as come, but at least one. */
  readonly expected: number | undefined;
  /** Bytes that it must have at least. */
  readonly least?: number | undefined;
  /** Whether somebody said that it is a raw disk, whatever it begins with. */
  readonly trusted: boolean;
  /** Takes what comes in. */
  readonly digest?: ContentDigest | undefined;
}

/**
 * Waits for the first bytes, so that an empty stream is refused before the target is touched.
 * @throws Qcow2cError ERR_USAGE for an empty stream; ERR_UNSUPPORTED for one that begins as an image of a format; as
 *   `StreamSource.fill`
 */
export async function streamInput(
  stream: StreamSource,
  { expected, least = 0, trusted, digest }: StreamFacts,
): Promise<Input> {
  const start = await stream.peek(PROBE_BYTES);
  if (start.length === 0 && expected === undefined) throw emptyStream(stream.name);
  if (!trusted) refuseOtherFormats(start, stream.name);
  refuseLength(stream.name, start.length, { expected, least, room: undefined }, start.length < PROBE_BYTES);
  const likely = expected ?? stream.total;
  return {
    size: expected === undefined ? undefined : roundUp(expected, SECTOR_SIZE),
    likelySize: likely === undefined ? undefined : roundUp(likely, SECTOR_SIZE),
    compressionTypes: new Set(),
    readAlignment: 1,
    arrives: true,
    fileOf: () => undefined,
    items({ itemSize, clusterSize, backing, room }, pool) {
      let at = 0;
      let ended = false;
      return async (slot) => {
        if (ended) return undefined;
        const memory = pool.arrivalSlot(slot).subarray(0, itemSize);
        const count = await stream.fill(memory);
        ended = count < itemSize;
        refuseLength(stream.name, at + count, { expected, least, room }, ended);
        if (count === 0) return undefined;
        digest?.add(at, memory.subarray(0, count));
        const guestOffset = at;
        at += count;
        const length = roundUp(count, SECTOR_SIZE);
        const segments = [{ kind: 'arrived', at: 0, length: count } as const];
        if (backing === undefined) return { guestOffset, length, segments };
        return {
          guestOffset,
          length,
          segments,
          backing: await segmentsOf(backing, guestOffset, length),
          changed: [[0, Math.ceil(length / clusterSize)]],
        };
      };
    },
    refuseChanges: async () => {},
  };
}

/** A stream cannot be read as an image of a format, and hardly ever is a raw disk that looks like one. */
function refuseOtherFormats(start: Uint8Array, name: string): void {
  if (probeFormat(start, name) === 'raw') return;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(name)} looks like a qcow2 image, which cannot be read from a stream; save it in a file first, or ` +
      'say with -f raw that it is a raw disk',
    { file: name, found: 'qcow2', expected: 'raw' },
  );
}

/** A program that fails before it writes anything leaves an empty stream. */
function emptyStream(file: string): Qcow2cError {
  const message =
    `${quoted(file)} is empty, and no disk has 0 bytes: the program that should write to it has probably failed ` +
    '(for an empty disk, say -o size=0)';
  return usageError(message, { file, found: 0 });
}

/** In bytes. */
interface Lengths {
  readonly expected: number | undefined;
  readonly least: number;
  readonly room: number | undefined;
}

/** @param ended whether `found` bytes, all that came so far, are all that come */
function refuseLength(file: string, found: number, { expected, least, room }: Lengths, ended: boolean): void {
  if (expected !== undefined && (found > expected || (ended && found < expected))) {
    const how = found > expected ? 'has more bytes' : `ended after ${found} bytes`;
    const message = `${quoted(file)} ${how}: ${expected} were expected, as stated by the size`;
    throw usageError(message, { file, expected, found });
  }
  if (ended && found < least) {
    const message = `${quoted(file)} ended after ${found} bytes: at least ${least} were expected (--min-size)`;
    throw usageError(message, { file, expected: least, found });
  }
  if (room !== undefined && found > room) {
    const message = `The target is too small: it has ${room} bytes, and ${quoted(file)} has ${found} or more`;
    throw usageError(message, { file, expected: room, found });
  }
}
