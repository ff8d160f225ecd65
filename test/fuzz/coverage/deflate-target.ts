/** Deflate payloads: the inflaters, and the walk that tells how far a stream looks back. */
import { inflateRawSync } from 'node:zlib';
import { CorruptPayload } from '../../../src/compress/corrupt-payload.js';
import { DeflateWindow } from '../../../src/compress/deflate-window.js';
import { inflatePayload } from './payload-input.js';
import { promise } from './promises.js';

/** zlib makes so many bytes at a time here, and can look back at all of these whatever its window. */
const CHUNK = 64;
const SMALLEST_WINDOW_BITS = 9;
const LARGEST_WINDOW_BITS = 12;

const walker = new DeflateWindow();

export async function fuzz(input: Uint8Array): Promise<void> {
  const payload = await inflatePayload('zlib', input);
  if (payload === undefined) return;
  const { bytes, clusterSize, strict } = payload;
  let farthest: number | undefined;
  try {
    farthest = walker.farthest(bytes, clusterSize);
  } catch (error) {
    if (!(error instanceof CorruptPayload)) throw error;
  }
  promise(
    (farthest === undefined) === (strict === undefined),
    'the walk takes what zlib takes, and no more',
    farthest,
  );
  if (farthest === undefined) return;
  promise(farthest >= 0 && farthest < clusterSize, 'a stream looks back at what it has made', farthest);
  for (let bits = SMALLEST_WINDOW_BITS; bits <= LARGEST_WINDOW_BITS; bits += 1) {
    const isTaken = isTakenWith(bits, bytes);
    promise(
      isTaken || farthest > 2 ** bits,
      'no stream looks back farther than the walk says',
      farthest,
      bits,
    );
    promise(
      !isTaken || farthest <= 2 ** bits + CHUNK,
      'a stream looks back as far as the walk says',
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
