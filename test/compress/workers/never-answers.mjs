// Is in the middle of an item for ever, as if a read did not come back.
import { workerData } from 'node:worker_threads';

export default function stall() {
  Atomics.store(new Int32Array(workerData.results, 0, 1), 0, 1);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}
