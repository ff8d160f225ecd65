/**
 * What the headers of a zstd frame say (RFC 8878, section 3.1.1). Where it ends is for the engine built into
 * Node.js, which promises nothing about the bytes that follow a payload (often the next payload) and on 22 says
 * nothing of a cut; the rest is for those who look at an image's streams.
 */
import { CorruptPayload } from './corrupt-payload.js';

const MAGIC = 0xfd2fb528;

/** Bytes of the dictionary identifier, by bits 0 and 1 of the frame header descriptor. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;

/** Bytes of the frame content size, by bits 6 and 7; a single segment has one at least. */
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/** Block_Type 1: one byte that stands for the whole block. */
const RLE_BLOCK = 1;

/** What a content size of 2 bytes begins with: smaller ones have 1. */
const CONTENT_SIZE_BASE = 256;

export interface ZstdFrame {
  /** Bytes. */
  readonly length: number;
  /** Bytes of output that its reader must keep. */
  readonly window: number;
  /** Whether it ends in a checksum of its content. */
  readonly hasChecksum: boolean;
}

/**
 * @returns the length in bytes of the frame at the start of `input`
 * @throws Qcow2cError ERR_CORRUPT when there is no frame, or not all of it
 */
export function zstdFrameSize(input: Uint8Array): number {
  return readZstdFrame(input).length;
}

/**
 * @returns the frame at the start of `input`
 * @throws Qcow2cError ERR_CORRUPT when there is no frame, or not all of it
 */
export function readZstdFrame(input: Uint8Array): ZstdFrame {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (input.length < 5 || view.getUint32(0, true) !== MAGIC) {
    throw new CorruptPayload('it does not start with a zstd frame');
  }
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const dictionaryAt = singleSegment ? 5 : 6;
  const contentSizeAt = dictionaryAt + DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3];
  // A single segment has no window descriptor, and a content size of at least one byte.
  const contentSizeBytes = CONTENT_SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3] || (singleSegment ? 1 : 0);
  let at = contentSizeAt + contentSizeBytes;
  for (let last = false; !last; ) {
    if (at + 3 > input.length) throw cutOff();
    const block = view.getUint16(at, true) + view.getUint8(at + 2) * 0x10000;
    last = (block & 1) === 1;
    at += 3 + ((block >> 1) % 4 === RLE_BLOCK ? 1 : block >> 3);
  }
  if (hasChecksum) at += 4;
  if (at > input.length) throw cutOff();
  const window = singleSegment
    ? contentSize(view, contentSizeAt, contentSizeBytes)
    : windowSize(view.getUint8(5));
  return { length: at, window, hasChecksum };
}

/** Section 3.1.1.1.4, of a field that is there. */
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

function cutOff(): CorruptPayload {
  return new CorruptPayload('the zstd frame is cut off');
}
