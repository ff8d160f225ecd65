/**
 * Reads the headers of zstd frames (RFC 8878, section 3.1). The engine built into Node.js needs the ends of frames: it
 * does not define the bytes after a frame, and on 22 does not report a truncated one. Examination and salvage of
 * payloads use the other fields.
 */
import { CorruptPayload } from './corrupt-payload.js';

export const ZSTD_MAGIC = 0xfd2fb528;
export const MAGIC_BYTES = 4;

/** Section 3.1.2: the low four bits have any value. */
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_MASK = 0xfffffff0;
const SKIPPABLE_HEADER = 8;

/** Bytes of the dictionary identifier, by bits 0 and 1 of the frame header descriptor. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;

/** Bytes of the frame content size, by bits 6 and 7; a single segment has at least one. */
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

export const BLOCK_HEADER = 3;

/** Block_Type 1: one byte, repeated for the whole block. */
const RLE_BLOCK = 1;

const CHECKSUM_BYTES = 4;

/** Base of a content size of 2 bytes: smaller sizes use 1 byte. */
const CONTENT_SIZE_BASE = 256;

/** The error of complete frames that yield less than a cluster. */
export const FEWER_BYTES = 'the zstd frame yields fewer bytes than a cluster';

/** A frame with content. Lengths and positions in bytes. */
interface ZstdFrame {
  readonly length: number;
  /** The window: output that the decoder must keep. */
  readonly window: number;
  /** Whether it ends with a checksum of its content. */
  readonly hasChecksum: boolean;
}

/** A frame's header, and the position of its first block. */
interface ZstdFrameHeader {
  readonly length: number;
  readonly window: number;
  readonly hasChecksum: boolean;
  readonly namesDictionary: boolean;
}

/**
 * @param at in bytes
 * @returns the kind of the frame there; `none` also if fewer than four bytes are left
 */
export function frameKind(input: Uint8Array, at: number): 'content' | 'skippable' | 'none' {
  if (at + MAGIC_BYTES > input.length) return 'none';
  const magic = viewOf(input).getUint32(at, true);
  if (magic === ZSTD_MAGIC) return 'content';
  return (magic & SKIPPABLE_MASK) >>> 0 === SKIPPABLE_MAGIC ? 'skippable' : 'none';
}

/** @param at start of a skippable frame, in bytes @returns its end @throws CorruptPayload if it is truncated */
export function skippableFrameEnd(input: Uint8Array, at: number): number {
  if (at + SKIPPABLE_HEADER > input.length) throw cutOff();
  const end = at + SKIPPABLE_HEADER + viewOf(input).getUint32(at + MAGIC_BYTES, true);
  if (end > input.length) throw cutOff();
  return end;
}

/**
 * @returns the frames with content in `input`, in order @throws CorruptPayload if `input` does not consist of frames
 */
export function readZstdFrames(input: Uint8Array): ZstdFrame[] {
  const frames: ZstdFrame[] = [];
  for (let at = 0; at < input.length; ) {
    if (frameKind(input, at) === 'skippable') {
      at = skippableFrameEnd(input, at);
      continue;
    }
    const frame = readZstdFrame(input.subarray(at));
    frames.push(frame);
    at += frame.length;
  }
  return frames;
}

/** @returns the frame with content at the start of `input` @throws CorruptPayload if it is missing or truncated */
export function readZstdFrame(input: Uint8Array): ZstdFrame {
  const { length: headerLength, window, hasChecksum } = readFrameHeader(input);
  let at = headerLength;
  for (let isLast = false; !isLast; ) {
    const block = readBlock(input, at);
    if (block === undefined) throw cutOff();
    isLast = block.isLast;
    at = block.end;
  }
  if (hasChecksum) at += CHECKSUM_BYTES;
  if (at > input.length) throw cutOff();
  return { length: at, window, hasChecksum };
}

/** @throws CorruptPayload if no frame with content starts `input`, or its header is truncated */
export function readFrameHeader(input: Uint8Array): ZstdFrameHeader {
  if (frameKind(input, 0) !== 'content') throw new CorruptPayload('it does not start with a zstd frame');
  const view = viewOf(input);
  if (input.length <= MAGIC_BYTES) throw cutOff();
  const descriptor = view.getUint8(MAGIC_BYTES);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryAt = isSingleSegment ? 5 : 6;
  const dictionaryBytes = DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3];
  const contentSizeAt = dictionaryAt + dictionaryBytes;
  // A single segment has no window descriptor, and a content size of at least one byte.
  const contentSizeBytes =
    CONTENT_SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3] || (isSingleSegment ? 1 : 0);
  const length = contentSizeAt + contentSizeBytes;
  if (length > input.length) throw cutOff();
  const dictionary = input.subarray(dictionaryAt, contentSizeAt);
  return {
    length,
    window: isSingleSegment
      ? contentSize(view, contentSizeAt, contentSizeBytes)
      : windowSize(view.getUint8(5)),
    hasChecksum: (descriptor & 0x04) !== 0,
    namesDictionary: dictionary.some((byte) => byte !== 0),
  };
}

/**
 * @param at start of a block, in bytes @returns its end and whether it is the frame's last block; undefined if it is
 *   truncated
 */
export function readBlock(
  input: Uint8Array,
  at: number,
): { readonly end: number; readonly isLast: boolean } | undefined {
  if (at + BLOCK_HEADER > input.length) return undefined;
  const view = viewOf(input);
  const header = view.getUint16(at, true) + view.getUint8(at + 2) * 0x10000;
  const end = at + BLOCK_HEADER + ((header >> 1) % 4 === RLE_BLOCK ? 1 : header >> 3);
  return end > input.length ? undefined : { end, isLast: (header & 1) === 1 };
}

/** Section 3.1.1.1.4, for a field that is present. */
function contentSize(view: DataView, at: number, bytes: number): number {
  switch (bytes) {
    case 1:
      return view.getUint8(at);
    case 2:
      return view.getUint16(at, true) + CONTENT_SIZE_BASE;
    case 4:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}

/** Section 3.1.1.1.2: an exponent in the high five bits, and eighths in the low three. */
function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function cutOff(): CorruptPayload {
  return new CorruptPayload('the zstd frame is cut off');
}
