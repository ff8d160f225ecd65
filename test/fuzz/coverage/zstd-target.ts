/** Zstd payloads: the inflaters, and what is read of a frame's headers. */
import { CorruptPayload } from '../../../src/compress/corrupt-payload.js';
import { readZstdFrame, type ZstdFrame } from '../../../src/compress/zstd-frame.js';
import { inflatePayload } from './payload-input.js';
import { promise, promiseSame } from './promises.js';

/** Libzstd's own limit for what it inflates as a stream. */
const LARGEST_WINDOW = 2 ** 27;

export async function fuzz(input: Uint8Array): Promise<void> {
  const payload = await inflatePayload('zstd', input);
  if (payload === undefined) return;
  const { bytes, usual, strict, clusterSize } = payload;
  let frame: ZstdFrame | undefined;
  try {
    frame = readZstdFrame(bytes);
  } catch (error) {
    if (!(error instanceof CorruptPayload)) throw error;
  }
  if (frame !== undefined) {
    promise(
      frame.length > 0 && frame.length <= bytes.length,
      'a frame ends inside the payload',
      frame.length,
    );
    promise(frame.window >= 0, 'a window is a number of bytes', frame.window);
  }
  if (usual === undefined) return;
  promise(frame !== undefined, 'the frame of what is inflated can be read');
  promiseSame(frame.length, usual.taken, 'the frame is as long as the engine says');
  if (strict === undefined) return;
  promise(frame.window <= LARGEST_WINDOW, 'a window that a stream takes is bounded', frame.window);
  const isSingleSegment = ((bytes[4] ?? 0) & 0x20) !== 0;
  if (isSingleSegment) promiseSame(frame.window, clusterSize, 'a single segment keeps all of the cluster');
}
