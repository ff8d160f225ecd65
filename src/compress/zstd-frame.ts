/**
 * Where a zstd frame ends (RFC 8878, section 3.1.1). For the engine built into Node.js, which promises
 * nothing about the bytes that follow a payload (often the next payload) and on 22 says nothing of a cut.
 */
import { CorruptPayload } from './corrupt-payload.js';

const MAGIC = 0xfd2fb528;

/** Bytes of the dictionary identifier, by bits 0 and 1 of the frame header descriptor. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const;

/** Bytes of the frame content size, by bits 6 and 7; the first is 1 for a single segment. */
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const;

/** Block_Type 1: one byte that stands for the whole block. */
const RLE_BLOCK = 1;

/**
 * @returns the length in bytes of the frame at the start of `input`
 * @throws Qcow2cError ERR_CORRUPT when there is no frame, or not all of it
 */
export function zstdFrameSize(input: Uint8Array): number {
  const view = new DataView(input.buffer, input.byteOffset, input.byteLength);
  if (input.length < 5 || view.getUint32(0, true) !== MAGIC) {
    throw new CorruptPayload('it does not start with a zstd frame');
  }
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const checksumBytes = (descriptor & 0x04) === 0 ? 0 : 4;
  const contentSizeBytes = CONTENT_SIZE_BYTES[(descriptor >> 6) as 0 | 1 | 2 | 3];
  let at = 5 + DICTIONARY_ID_BYTES[(descriptor & 3) as 0 | 1 | 2 | 3];
  // A single segment has no window descriptor, and a content size of at least one byte.
  at += singleSegment ? Math.max(1, contentSizeBytes) : 1 + contentSizeBytes;
  for (let last = false; !last; ) {
    if (at + 3 > input.length) throw new CorruptPayload('the zstd frame is cut off');
    const block = view.getUint16(at, true) + view.getUint8(at + 2) * 0x10000;
    last = (block & 1) === 1;
    at += 3 + ((block >> 1) % 4 === RLE_BLOCK ? 1 : block >> 3);
  }
  at += checksumBytes;
  if (at > input.length) throw new CorruptPayload('the zstd frame is cut off');
  return at;
}
