/** A raw disk read from a stream as the input of a conversion. It is read once, from start to end. */
import { roundUp } from '../arithmetic.js';
import { Qcow2cError, quoted, usageError } from '../errors.js';
import { imageReference } from '../image/image-reference.js';
import { PROBE_BYTES, probeFormat } from '../image/probe.js';
import { openNamedStream } from '../raw/named-stream.js';
import { StreamSource } from '../raw/stream-source.js';
import { SECTOR_SIZE } from '../sector.js';
import { streamTitle } from '../storage/stream-name.js';
import { onAbort } from '../system/abort-listeners.js';
import { segmentsOf } from '../workers/segments.js';
import { ContentDigest } from './content-digest.js';
import type { Input, TargetRoom } from './input.js';
import type { ConvertOptions } from './options.js';
import { isStream, refuseForStream, statedFormat, streamName } from './stream-reference.js';

type StreamOptions = Pick<
  ConvertOptions,
  'sources' | 'sourceFormat' | 'snapshot' | 'bitmaps' | 'create' | 'minSize' | 'verify' | 'signal'
>;

/**
 * Opens the stream among the sources, and waits for its first bytes.
 * @returns undefined when the sources are images
 * @throws Qcow2cError as `refuseForStream`, `StreamSource.open` and `streamInput`; the stream is closed then
 */
export async function openStreamInput(options: StreamOptions): Promise<Input | undefined> {
  const stream = await openStream(options);
  if (stream === undefined) return undefined;
  const { sources, sourceFormat, create, minSize, verify, signal } = options;
  // Closing the stream ends a read that waits for its writer.
  const stopListening = signal && onAbort(signal, () => void stream.close());
  const close = async () => {
    stopListening?.();
    await stream.close();
  };
  try {
    const input = await streamInput(stream, {
      expected: create?.size,
      canStateSize: create !== undefined,
      least: minSize,
      trusted: sources.some((source) => statedFormat(source, sourceFormat) === 'raw'),
      digest: verify ? new ContentDigest() : undefined,
    });
    return { ...input, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}

/**
 * Opens the stream among the sources.
 * @returns undefined when the sources are images
 * @throws Qcow2cError as `refuseForStream`; ERR_IO, ERR_UNSUPPORTED as `StreamSource.open`
 */
export async function openStream(
  options: Pick<StreamOptions, 'sources' | 'sourceFormat' | 'snapshot' | 'bitmaps'>,
): Promise<StreamSource | undefined> {
  const names = await Promise.all(options.sources.map(streamName));
  const found = options.sources[names.findIndex((name) => name !== undefined)];
  if (found === undefined) return undefined;
  // Opening a named pipe would let its writer go on, so the refusal comes first.
  refuseForStream(found, options);
  const stream = isStream(found)
    ? { stream: found.stream, name: streamTitle(found) }
    : await openNamedStream(imageReference(found).file);
  return StreamSource.open(stream);
}

/** The caller's statements about a stream. Sizes in bytes. */
interface StreamStatements {
  /** The exact size; undefined: any size but 0. */
  readonly expected: number | undefined;
  /** Whether the caller has an option for the size. Default: true. */
  readonly canStateSize?: boolean | undefined;
  /** The minimum size. */
  readonly least?: number | undefined;
  /** Whether the format was stated as raw; otherwise a stream that begins as a qcow2 image is refused. */
  readonly trusted: boolean;
  /** Takes the content of each item. */
  readonly digest?: ContentDigest | undefined;
}

/**
 * Waits for the first bytes, so that an empty stream is refused before the target is opened.
 * @throws Qcow2cError ERR_USAGE for an empty stream; ERR_UNSUPPORTED for one that begins as an image of a format; as
 *   `StreamSource.fill`
 */
export async function streamInput(
  stream: StreamSource,
  { expected, canStateSize = true, least = 0, trusted, digest }: StreamStatements,
): Promise<Input> {
  const start = await stream.peek(PROBE_BYTES);
  if (start.length === 0 && expected === undefined) throw emptyStream(stream.name, canStateSize);
  if (!trusted) refuseOtherFormats(start, stream.name);
  refuseLength(stream.name, start.length, { expected, least, room: undefined }, start.length < PROBE_BYTES);
  const likely = expected ?? stream.total;
  return {
    name: stream.name,
    images: [],
    settledMs: 0,
    content: digest,
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
    [Symbol.asyncDispose]: () => stream.close(),
  };
}

/** A stream cannot be read as a qcow2 image, and is hardly ever a raw disk that looks like one. */
function refuseOtherFormats(start: Uint8Array, name: string): void {
  if (probeFormat(start, name) === 'raw') return;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    `${quoted(name)} looks like a qcow2 image, which cannot be read from a stream; save it in a file first, or ` +
      'use -f raw if it is a raw disk',
    { file: name, found: 'qcow2', expected: 'raw' },
  );
}

/** A program that fails before it writes anything leaves an empty stream. */
function emptyStream(file: string, canStateSize: boolean): Qcow2cError {
  const hint = canStateSize ? ' (for an empty disk use -o size=0)' : '';
  const message =
    `${quoted(file)} is empty, and no disk has 0 bytes: the program that should write to it has probably failed` +
    hint;
  return usageError(message, { file, found: 0 });
}

/** In bytes. */
interface Lengths {
  readonly expected: number | undefined;
  readonly least: number;
  readonly room: TargetRoom | undefined;
}

/** @param ended whether the stream has ended after `found` bytes */
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
  if (room !== undefined && found > room.bytes) {
    const message = `${quoted(room.target)} is too small: it has ${room.bytes} bytes, and ${quoted(file)} has ${found} or more`;
    throw usageError(message, { file: room.target, expected: room.bytes, found });
  }
}
