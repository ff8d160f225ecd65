// The built worker, which dies in the middle of its third item in the way that WORKER_DIES says, or of the first one
// whose output is WORKER_DIES_AT. Also put in the place of
// dist/worker.js, with the real one beside it.
import { existsSync } from 'node:fs';
import { threadId, workerData } from 'node:worker_threads';

const beside = new URL('./real-worker.js', import.meta.url);
const { default: work } = await import(
  existsSync(beside) ? beside : new URL('../../../dist/worker.js', import.meta.url)
);
const WAYS = {
  exits: () => process.exit(7),
  throws: () => {
    throw new RangeError('the engine is broken');
  },
  // Nobody is there to catch it, and the item is never answered.
  'throws later': () => {
    setImmediate(() => {
      throw new RangeError(`thread ${threadId} is broken`);
    });
    return new Promise(() => {});
  },
  'rejects later': () => {
    setImmediate(() => Promise.reject(new RangeError(`thread ${threadId} is broken`)));
    return new Promise(() => {});
  },
  'runs out of memory': () => {
    const hoarded = [];
    for (;;) hoarded.push(new Array(100_000).fill(hoarded.length));
  },
};

const { WORKER_DIES, WORKER_DIES_AT } = process.env;
let left =
  WORKER_DIES_AT === undefined ? 2 : WORKER_DIES_AT === workerData.output ? 0 : Number.POSITIVE_INFINITY;
export default function workAndDie(item) {
  left -= 1;
  return left < 0 ? WAYS[WORKER_DIES]() : work(item);
}
