// Answers with how many items have been begun before by all workers; each takes a moment.
import { workerData } from 'node:worker_threads';

const begun = new Int32Array(workerData.results, 0, 1);
const never = new Int32Array(new SharedArrayBuffer(4));

export default function count() {
  const number = Atomics.add(begun, 0, 1);
  Atomics.wait(never, 0, 0, 5);
  return { sizes: Uint32Array.of(number), copied: 0, subclusters: undefined, unreadable: [] };
}
