/** Zstd payloads: the inflaters, and what is read of a frame's headers. */
import { readZstdFrames } from '../../../src/engines/zstd-frame.js';
import { inflatePayload } from './payload-input.js';
import { promise } from './promises.js';

export async function fuzz(input: Uint8Array): Promise<void> {
  const payload = await inflatePayload('zstd', input);
  if (payload === undefined) return;
  const { bytes, usual } = payload;
  if (usual === undefined) return;
  const frames = readZstdFrames(bytes.subarray(0, usual.taken));
  promise(frames.length > 0, 'what is inflated consists of frames', frames.length);
  // A frame that states how much it yields is inflated at once, whatever window it states.
  for (const { window } of frames) promise(window >= 0, 'a window is a number of bytes', window);
}
