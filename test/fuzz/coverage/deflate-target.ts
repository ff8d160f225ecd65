/** Deflate payloads: the inflaters, and the decoder that finds a stream's window. */
import { inflateRawSync } from 'node:zlib';
import { DeflateDecoder } from '../../../src/engines/deflate-decoder.js';
import { inflatePayload } from './payload-input.js';
import { promise } from './promises.js';

/** zlib inflates this many bytes at a time here, and can refer back to all of them with any window. */
const CHUNK = 64;
const SMALLEST_WINDOW_BITS = 9;
const LARGEST_WINDOW_BITS = 12;

const decoder = new DeflateDecoder();

export async function fuzz(input: Uint8Array): Promise<void> {
  const payload = await inflatePayload('zlib', input);
  if (payload === undefined) return;
  const { bytes, clusterSize, node } = payload;
  const { end, made, farthest } = decoder.decode(bytes, new Uint8Array(clusterSize));
  const isTaken = end === 'final' && made === clusterSize;
  promise(isTaken === (node !== undefined), 'the decoder takes what zlib takes, and no more', end, made);
  if (!isTaken) return;
  promise(farthest >= 0 && farthest < clusterSize, 'a stream refers back to its own bytes', farthest);
  for (let bits = SMALLEST_WINDOW_BITS; bits <= LARGEST_WINDOW_BITS; bits += 1) {
    const isTaken = isTakenWith(bits, bytes);
    promise(
      isTaken || farthest > 2 ** bits,
      'no stream looks back farther than the decoder says',
      farthest,
      bits,
    );
    promise(
      !isTaken || farthest <= 2 ** bits + CHUNK,
      'a stream looks back as far as the decoder says',
      farthest,
      bits,
    );
  }
}

/** Whether zlib can inflate it that remembers only so much. */
function isTakenWith(windowBits: number, bytes: Uint8Array): boolean {
  try {
    inflateRawSync(bytes, { windowBits, chunkSize: CHUNK });
    return true;
  } catch {
    return false;
  }
}
