// The built worker, but it dies during its third item, or during the first item of the task WORKER_DIES_AT. WORKER_DIES
// is the way. Tests also install it as dist/worker.cjs, with the real worker beside it.
import { existsSync } from 'node:fs';
import { parentPort, threadId } from 'node:worker_threads';

const WAYS = {
  exits: () => process.exit(7),
  throws: () => parentPort.postMessage({ thrown: new RangeError('the engine is broken') }),
  // No code catches the error, and the item is never answered.
  'throws later': () => {
    setImmediate(() => {
      throw new RangeError(`thread ${threadId} is broken`);
    });
  },
  'rejects later': () => {
    setImmediate(() => Promise.reject(new RangeError(`thread ${threadId} is broken`)));
  },
  'runs out of memory': () => {
    const hoarded = [];
    for (;;) hoarded.push(new Array(100_000).fill(hoarded.length));
  },
};

const { WORKER_DIES, WORKER_DIES_AT } = process.env;
let left = WORKER_DIES_AT === undefined ? 2 : Number.POSITIVE_INFINITY;
let work;
const { on } = parentPort;
// What the real worker would be told comes here first.
parentPort.on = (_, listener) => {
  work = listener;
};
const beside = new URL('./real-worker.cjs', import.meta.url);
await import(existsSync(beside) ? beside : new URL('../../../dist/worker.cjs', import.meta.url));
on.call(parentPort, 'message', (question) => {
  if (question.kind === 'setup' && question.setup.task === WORKER_DIES_AT) left = 0;
  if (question.kind === 'item') left -= 1;
  if (left < 0) WAYS[WORKER_DIES]();
  else work(question);
});
