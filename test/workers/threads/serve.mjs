// Speaks the real worker's protocol with the pool: `prepare` makes a function from each setup, and that answers items.
import { parentPort } from 'node:worker_threads';

/** @param {(setup: any) => (item: any) => unknown} prepare @param {() => void} release */
export function serve(prepare, release = () => {}) {
  let pack;
  parentPort.on('message', ({ kind, setup, memory, item }) => {
    try {
      if (kind === 'setup') pack = prepare({ ...setup, ...memory });
      if (kind === 'release') release();
      parentPort.postMessage({ answer: kind === 'item' ? pack(item) : undefined });
    } catch (thrown) {
      parentPort.postMessage({ thrown });
    }
  });
  parentPort.postMessage({ loaded: true });
}
