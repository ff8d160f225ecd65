/**
 * A worker thread, which works for one pool after the other: it takes a while to start, and koffi never gives back what
 * it keeps for a thread (docs/reliability.md, "Thousands of conversions"). It is asked one thing at a time.
 */
import { Worker } from 'node:worker_threads';
import { internalError } from '../errors.js';
import type { Question, Reply } from './messages.js';

/**
 * A worker's heap holds a few small objects for each item: a small young generation keeps its garbage
 * from being spread over megabytes. Numbers in MB.
 */
const WORKER_HEAP = { maxYoungGenerationSizeMb: 4, maxOldGenerationSizeMb: 64 };

export class WorkerThread {
  /** The worker's module. */
  readonly entry: URL;
  readonly #worker: Worker;
  /** Resolves when its modules are loaded, or it has ended. */
  readonly #loaded: Promise<void>;
  #asked: { resolve(answer: unknown): void; reject(reason: unknown): void } | undefined;
  /** Resolves, whatever comes of it, when what was asked last has been answered. */
  #settled: Promise<unknown> = Promise.resolve();
  /** Why it has ended. */
  #end: { readonly reason: unknown } | undefined;

  /** Starts the thread. By itself it does not keep the process going. */
  constructor(entry: URL) {
    this.entry = entry;
    // Kept apart: to pass on what a worker never prints, Node.js would open its own stdout and stderr.
    this.#worker = new Worker(entry, { resourceLimits: WORKER_HEAP, stdout: true, stderr: true });
    this.#worker.unref();
    this.#loaded = new Promise((resolve) => {
      this.#worker.once('message', () => resolve());
      this.#worker.once('exit', () => resolve());
    });
    this.#worker.on('message', (reply: Reply) => {
      const asked = this.#answered();
      if ('thrown' in reply) asked?.reject(reply.thrown);
      else asked?.resolve(reply.answer);
    });
    this.#worker.on('messageerror', (error) => this.#answered()?.reject(error));
    this.#worker.once('error', (error) => this.#endWith(error));
    this.#worker.once('exit', (code) => this.#endWith(new Error(`worker exited with code: ${code}`)));
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * @returns the answer, which is of the question's kind
   * @throws what the worker threw, or why it has ended
   */
  ask(question: Question): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#asked !== undefined) throw internalError('a worker thread was asked two things at a time');
      if (this.#end !== undefined) throw this.#end.reason;
      this.#asked = { resolve, reject };
      this.#worker.ref();
      this.#worker.postMessage(question);
    });
    this.#settled = answer.catch(() => {});
    return answer;
  }

  /**
   * Waits until it has answered what it was asked.
   * @param patience milliseconds, without what its modules take to load
   * @returns whether it has in time
   */
  async becomesIdle(patience: number): Promise<boolean> {
    await this.#load();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), patience);
    });
    try {
      return await Promise.race([this.#settled.then(() => true), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the thread, also in the middle of its work. */
  async end(): Promise<void> {
    await this.#load();
    await this.#worker.terminate();
  }

  /**
   * Node.js and native addons abort the process when a thread is ended in the middle of loading. Without work a thread
   * does not keep the process going, which would end before the thread has said that it is loaded.
   */
  async #load(): Promise<void> {
    this.#worker.ref();
    await this.#loaded;
    if (this.#asked === undefined) this.#worker.unref();
  }

  /** @returns who waits for the answer; undefined: nobody */
  #answered() {
    const asked = this.#asked;
    this.#asked = undefined;
    this.#worker.unref();
    return asked;
  }

  #endWith(reason: unknown): void {
    this.#end ??= { reason };
    this.#answered()?.reject(this.#end.reason);
  }
}
