/** The entry of a worker thread. It serves one pool after the other: setup, items, release. */
import { parentPort } from 'node:worker_threads';
import { ItemError } from './item-failure.js';
import type { AnyTask, ItemReply, Question, Reply } from './messages/thread.js';
import { WorkerSession } from './worker-session.js';

let session: WorkerSession | undefined;

/** @throws what an engine throws; the pool adds the guest offset */
async function answer(question: Question): Promise<ItemReply<AnyTask['answer']> | undefined> {
  switch (question.kind) {
    case 'setup':
      session = await WorkerSession.create(question.setup, question.memory);
      return undefined;
    case 'item':
      try {
        return session?.run(question.item);
      } catch (error) {
        if (error instanceof ItemError) return { failure: error.failure };
        throw error;
      }
    case 'release':
      session?.release();
      session = undefined;
      return undefined;
  }
}

async function reply(question: Question): Promise<void> {
  const said: Reply = await answer(question).then(
    (result) => ({ answer: result }),
    (thrown: unknown) => ({ thrown }),
  );
  parentPort?.postMessage(said);
}

parentPort?.on('message', (question: Question) => void reply(question));
