/**
 * The worker thread's entry: works for one pool after the other. Of each it is told the setup, then one work item
 * after the other, and to give up what it holds for it.
 */
import { parentPort } from 'node:worker_threads';
import type { Question, Reply, WorkResult } from './messages.js';
import { SegmentError } from './tasks/segment-error.js';
import { WorkerSession } from './worker-session.js';

let session: WorkerSession | undefined;

/** @throws what an engine throws; the pool adds where it happened */
async function answer(question: Question): Promise<WorkResult | undefined> {
  switch (question.kind) {
    case 'setup':
      session = await WorkerSession.create(question.setup);
      return undefined;
    case 'item':
      try {
        return session?.pack(question.item);
      } catch (error) {
        if (error instanceof SegmentError) return { failure: error.failure };
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
