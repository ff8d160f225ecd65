/**
 * Computes how much of a disk is data, by the rules of QEMU's block status: the tables decide; holes of the file count
 * only where the image looks preallocated.
 */
import { roundDown, roundUp } from '../arithmetic.js';
import { StatusChain } from '../image/chain-status.js';
import type { OpenedImage } from '../image/open-image.js';
import { yieldToEventLoop } from '../system/yield-to-event-loop.js';
import { refuseAbort } from '../workers/pipeline.js';

/**
 * @param clusterSize bytes
 * @returns bytes of all clusters of that size in which the image or a backing file has data
 * @throws Qcow2cError ERR_IO, ERR_CORRUPT, ERR_ABORTED
 */
export async function dataClusterBytes(
  { source: { size }, layers }: OpenedImage,
  clusterSize: number,
  signal: AbortSignal | undefined,
): Promise<number> {
  const chain = new StatusChain(layers);
  let bytes = 0;
  for (let at = 0; at < size; ) {
    refuseAbort(signal);
    await yieldToEventLoop(signal);
    const { length, data, zero } = await chain.at(at);
    let end = at + length;
    if (data && !zero) {
      end = roundUp(end, clusterSize);
      bytes += end - roundDown(at, clusterSize);
    }
    at = end;
  }
  return bytes;
}
