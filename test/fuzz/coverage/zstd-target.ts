/** Zstd payloads: the inflaters, and the reader of frame headers. */
import { readZstdFrames } from '../../../src/engines/zstd-frame.js';
import { inflatePayload } from './payload-input.js';
import { promise } from './promises.js';

export async function fuzz(input: Uint8Array): Promise<void> {
  const payload = await inflatePayload('zstd', input);
  if (payload === undefined) return;
  const { bytes, usual } = payload;
  if (usual === undefined) return;
  const frames = readZstdFrames(bytes.subarray(0, usual.taken));
  promise(frames.length > 0, 'an inflated payload consists of frames', frames.length);
  // A frame that states its size is inflated at once, for any stated window.
  for (const { window } of frames) promise(window >= 0, 'a window is a number of bytes', window);
}
