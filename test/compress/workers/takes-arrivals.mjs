// Copies what has arrived in the item's slot to its result, all of it.
import { workerData } from 'node:worker_threads';

export default function take({ slot }) {
  const { arrivals, results, itemSize } = workerData;
  new Uint8Array(results).set(new Uint8Array(arrivals, slot * itemSize, itemSize), slot * itemSize);
  return { runs: Uint32Array.of(0, itemSize), unreadable: [] };
}
