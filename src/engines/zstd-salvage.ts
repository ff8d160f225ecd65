/**
 * Recovers data from zstd frames that QEMU refuses: as many of their first blocks as inflate. Windows, content sizes
 * and checksums in the frames are ignored. Each attempt is a new frame with the first blocks of the broken one.
 */
import { CorruptPayload } from './corrupt-payload.js';
import {
  BLOCK_HEADER,
  frameKind,
  MAGIC_BYTES,
  readBlock,
  readFrameHeader,
  skippableFrameEnd,
  ZSTD_MAGIC,
} from './zstd-frame.js';

/** RFC 8878, section 3.1.1.2.4: the most that a block inflates to, in bytes. */
const MOST_BLOCK_BYTES = 128 * 1024;

/** Frame header descriptor: a window, no content size, no checksum, no dictionary. */
const PLAIN_DESCRIPTOR = 0;
/** Window descriptor of 4 MiB, larger than any cluster. */
const WINDOW_DESCRIPTOR = 12 << 3;
const PLAIN_HEADER = MAGIC_BYTES + 2;

/** @returns the output length of a whole frame; undefined if it does not inflate or does not fit */
type InflateFrame = (frame: Uint8Array, output: Uint8Array) => number | undefined;

/** @returns number of bytes written to `output`, from its start */
export function salvageFrames(input: Uint8Array, output: Uint8Array, inflate: InflateFrame): number {
  // The block in which the output ends is inflated as a whole.
  const scratch = new Uint8Array(output.length + MOST_BLOCK_BYTES);
  let made = 0;
  try {
    for (let at = 0; made < output.length; ) {
      const kind = frameKind(input, at);
      if (kind === 'none') break;
      if (kind === 'skippable') {
        at = skippableFrameEnd(input, at);
        continue;
      }
      const frame = input.subarray(at);
      const { length, hasChecksum, namesDictionary } = readFrameHeader(frame);
      // Without its dictionary a frame yields wrong data.
      if (namesDictionary) break;
      const blocks = blocksOf(frame, length);
      const room = scratch.subarray(0, output.length - made + MOST_BLOCK_BYTES);
      const count = mostThatInflate(frame, length, blocks.ends, room, inflate);
      const content = inflateFirst(frame, length, blocks.ends, count, room, inflate) ?? 0;
      const kept = room.subarray(0, Math.min(content, output.length - made));
      output.set(kept, made);
      made += kept.length;
      const isWhole = blocks.isComplete && count === blocks.ends.length;
      if (!isWhole) break;
      at += (blocks.ends.at(-1) ?? length) + (hasChecksum ? 4 : 0);
    }
  } catch (error) {
    // A truncated header: nothing follows it.
    if (!(error instanceof CorruptPayload)) throw error;
  }
  return made;
}

/** @returns the ends of all complete blocks, and whether the last one is the frame's last */
function blocksOf(
  frame: Uint8Array,
  from: number,
): { readonly ends: number[]; readonly isComplete: boolean } {
  const ends: number[] = [];
  for (let at = from; ; ) {
    const block = readBlock(frame, at);
    if (block === undefined) return { ends, isComplete: false };
    ends.push(block.end);
    if (block.isLast) return { ends, isComplete: true };
    at = block.end;
  }
}

/** The number of first blocks that inflate together; a binary search, since fewer blocks then inflate too. */
function mostThatInflate(
  frame: Uint8Array,
  from: number,
  ends: readonly number[],
  room: Uint8Array,
  inflate: InflateFrame,
): number {
  let most = 0;
  for (let step = ends.length; step > 0; step = Math.floor(step / 2)) {
    while (
      most + step <= ends.length &&
      inflateFirst(frame, from, ends, most + step, room, inflate) !== undefined
    ) {
      most += step;
    }
  }
  return most;
}

function inflateFirst(
  frame: Uint8Array,
  from: number,
  ends: readonly number[],
  count: number,
  room: Uint8Array,
  inflate: InflateFrame,
): number | undefined {
  const end = count === 0 ? from : (ends[count - 1] as number);
  const plain = new Uint8Array(PLAIN_HEADER + end - from + (count === 0 ? BLOCK_HEADER : 0));
  new DataView(plain.buffer).setUint32(0, ZSTD_MAGIC, true);
  plain.set([PLAIN_DESCRIPTOR, WINDOW_DESCRIPTOR], MAGIC_BYTES);
  plain.set(frame.subarray(from, end), PLAIN_HEADER);
  // Bit 0 of a block's header: it is the last.
  const lastAt = PLAIN_HEADER + (count > 1 ? (ends[count - 2] as number) - from : 0);
  plain[lastAt] = (plain[lastAt] as number) | 1;
  return inflate(plain, room);
}
