/** The session of a worker thread with one pool: engines, memory and the task that the setup selects. */
import type { MessagePort } from 'node:worker_threads';
import type { CompressionType } from '../compression-type.js';
import type { Decompressor } from '../engines/codec.js';
import { createCompressor, createDecompressor, nodeInflates } from '../engines/create-engine.js';
import type { PostRead } from './brokered-read.js';
import { ItemError } from './item-failure.js';
import type { PoolSharedMemory, Task } from './messages/task.js';
import type { AnyTask, ItemReply, Question, Reply } from './messages/thread.js';
import { DiskComparer } from './tasks/compare-disks.js';
import { ClusterCompressor } from './tasks/compress-clusters.js';
import { BlockDigester } from './tasks/digest-blocks.js';
import { PayloadExaminer } from './tasks/examine-payloads.js';
import { RunFinder } from './tasks/find-runs.js';
import { releaseExports, takeExports } from './tasks/thread-exports.js';
import { threadMemory } from './tasks/thread-memory.js';

/** Works on the items of one setup. */
export interface TaskRunner<Kind extends Task> {
  /** @throws ItemError, or an error of an engine */
  run(item: Kind['item']): Kind['answer'];
}

interface Engine {
  free(): void;
}

export class WorkerSession {
  readonly #runner: TaskRunner<AnyTask>;
  readonly #engines: readonly Engine[];

  /** @throws Qcow2cError ERR_ENGINE when an engine is not available */
  static async create(
    setup: AnyTask['setup'],
    memory: PoolSharedMemory,
    post?: PostRead,
  ): Promise<WorkerSession> {
    const engines: Engine[] = [];
    try {
      await takeExports(setup, memory, post);
      return new WorkerSession(await createRunner(setup, memory, engines), engines);
    } catch (error) {
      giveBack(engines);
      throw error;
    }
  }

  private constructor(runner: TaskRunner<AnyTask>, engines: readonly Engine[]) {
    this.#runner = runner;
    this.#engines = engines;
  }

  /**
   * @param item of the setup's task
   * @throws ItemError, or an error of an engine
   */
  run(item: AnyTask['item']): AnyTask['answer'] {
    return this.#runner.run(item);
  }

  /** Frees everything; no item can follow. */
  release(): void {
    giveBack(this.#engines);
  }
}

function giveBack(engines: readonly Engine[]): void {
  for (const engine of engines) engine.free();
  threadMemory.giveBackAll();
  releaseExports();
}

/** @param engines receives every engine that is created, even if a later one fails */
async function createRunner(
  setup: AnyTask['setup'],
  memory: PoolSharedMemory,
  engines: Engine[],
): Promise<TaskRunner<AnyTask>> {
  const decompressors = new Map<CompressionType, Decompressor>();
  // One after the other: if one fails, the earlier ones are in `engines`.
  for (const type of setup.inflate) {
    const engine = setup.inflateWithNode && nodeInflates(type) ? 'node' : undefined;
    const decompressor = await createDecompressor({ type, engine });
    engines.push(decompressor);
    decompressors.set(type, decompressor);
  }
  switch (setup.task) {
    case 'compress clusters': {
      const compressor = setup.compressor && (await createCompressor(setup.compressor));
      if (compressor !== undefined) engines.push(compressor);
      return new ClusterCompressor(setup, memory, compressor, decompressors);
    }
    case 'find runs':
      return new RunFinder(setup, memory, decompressors);
    case 'compare disks':
      return new DiskComparer(setup, memory, decompressors);
    case 'digest blocks':
      return new BlockDigester(setup, memory, decompressors);
    case 'examine payloads': {
      const decompressor = await createDecompressor({ type: setup.type });
      engines.push(decompressor);
      return new PayloadExaminer(setup, memory, decompressor);
    }
  }
}

/** Answers a question. @throws errors of an engine, without the guest offset, which the pool adds */
export type Answerer = (question: Question) => Promise<ItemReply<AnyTask['answer']> | undefined>;

/**
 * @param post asks the main thread to read; undefined on the main thread itself
 * @returns a function that serves one pool after another: setup, items, release
 */
export function answerer(post?: PostRead): Answerer {
  let session: WorkerSession | undefined;

  return async (question) => {
    switch (question.kind) {
      case 'setup':
        session = await WorkerSession.create(question.setup, question.memory, post);
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
  };
}

/** Answers the questions of the main thread. @param port the port to the main thread */
export function serve(port: MessagePort): void {
  const answer = answerer((read) => port.postMessage({ read } satisfies Reply));

  const reply = async (question: Question): Promise<void> => {
    const message: Reply = await answer(question).then(
      (result) => ({ answer: result }),
      (thrown: unknown) => ({ thrown }),
    );
    port.postMessage(message);
  };

  port.on('message', (question: Question) => void reply(question));
  port.postMessage({ loaded: true } satisfies Reply);
}
