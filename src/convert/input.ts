/** What is converted, as the pipeline takes it: images that can be read anywhere, or a stream. */
import type { WorkerPool } from '../compress/pool.js';
import type { CompressionType } from '../compression-type.js';
import { Qcow2cError, quoted } from '../errors.js';
import { PROBE_BYTES, probeFormat } from '../image/probe.js';
import type { Source } from '../image/source.js';
import { type PlannedItem, type PlanSettings, plan } from '../pipeline/plan.js';
import { segmentsOf } from '../pipeline/segments.js';
import type { StreamSource } from '../raw/stream-source.js';
import { roundUp } from '../storage/aligned-memory.js';
import type { ContentDigest } from './content-digest.js';
import type { OpenedSources } from './open-sources.js';
import { planOverlay } from './plan-overlay.js';

const SECTOR_SIZE = 512;

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

/**
 * @param expected bytes that the stream must have; undefined: as many as come
 * @param digest takes what comes in
 * @param trusted whether somebody said that it is a raw disk, whatever it begins with
 */
export function streamInput(
  stream: StreamSource,
  expected: number | undefined,
  trusted: boolean,
  digest?: ContentDigest,
): Input {
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
        if (at === 0 && !trusted)
          refuseOtherFormats(memory.subarray(0, Math.min(count, PROBE_BYTES)), stream.name);
        ended = count < itemSize;
        refuseLength(stream.name, at + count, expected, room, ended);
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

/** @param ended whether `found` bytes, all that came so far, are all that come */
function refuseLength(
  file: string,
  found: number,
  expected: number | undefined,
  room: number | undefined,
  ended: boolean,
): void {
  if (expected !== undefined && (found > expected || (ended && found < expected))) {
    const how = found > expected ? 'has more bytes' : `ended after ${found} bytes`;
    const message = `${quoted(file)} ${how}: ${expected} were expected, as stated by the size`;
    throw new Qcow2cError('ERR_USAGE', message, { file, expected, found });
  }
  if (room !== undefined && found > room) {
    const message = `${quoted(file)} has more than the ${room} bytes that the target has room for`;
    throw new Qcow2cError('ERR_USAGE', message, { file, expected: room, found });
  }
}
