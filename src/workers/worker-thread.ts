/**
 * A worker thread. It serves one pool after the other, because it takes a while to start, and because koffi never frees
 * the memory of a thread (docs/reliability.md, "Thousands of conversions"). It answers questions in their order.
 */
import { Worker } from 'node:worker_threads';
import { serveRead } from './brokered-read.js';
import type { Question, Reply } from './messages/thread.js';

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
  /** Questions without an answer, the oldest first. */
  readonly #asked: { resolve(answer: unknown): void; reject(reason: unknown): void }[] = [];
  /** Resolves when the last question is answered, also with an error. */
  #settled: Promise<unknown> = Promise.resolve();
  /** Why it has ended. */
  #end: { readonly reason: unknown } | undefined;
  /** Its end is awaited: from then on it keeps the process alive. */
  #isEnding = false;

  /** Starts the thread. Once its modules are loaded, an idle thread does not keep the process alive. */
  constructor(entry: URL) {
    this.entry = entry;
    // Without these, Node.js opens stdout and stderr to forward output, and stdout may be the image.
    this.#worker = new Worker(entry, { resourceLimits: WORKER_HEAP, stdout: true, stderr: true });
    // Only warnings of Node.js, and modules that its options load, print in a worker. Output that waits for a reader
    // would keep the process alive.
    this.#worker.stdout.destroy();
    this.#worker.stderr.destroy();
    this.#loaded = new Promise((resolve) => {
      this.#worker.once('message', () => resolve());
      this.#worker.once('exit', () => resolve());
    });
    void this.#load();
    this.#worker.on('message', (reply: Reply) => {
      if ('loaded' in reply) return;
      if ('read' in reply) {
        void serveRead(reply.read);
        return;
      }
      const asked = this.#answered();
      if ('thrown' in reply) asked?.reject(reply.thrown);
      else asked?.resolve(reply.answer);
    });
    this.#worker.on('messageerror', (error) => this.#answered()?.reject(error));
    // A thread may throw again before it ends.
    this.#worker.on('error', (error) => this.#endWith(error));
    this.#worker.once('exit', (code) => this.#endWith(new Error(`worker exited with code: ${code}`)));
  }

  get hasEnded(): boolean {
    return this.#end !== undefined;
  }

  /**
   * @returns the answer to the question
   * @throws what the worker threw, or the reason why it ended
   */
  ask(question: Question): Promise<unknown> {
    const answer = new Promise<unknown>((resolve, reject) => {
      if (this.#end !== undefined) throw this.#end.reason;
      this.#asked.push({ resolve, reject });
      this.#worker.ref();
      this.#worker.postMessage(question);
    });
    this.#settled = answer.catch(() => {});
    return answer;
  }

  /**
   * Waits until the last question is answered.
   * @param patience milliseconds, not counting the loading of its modules
   * @returns whether it was answered in time
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
    this.#isEnding = true;
    await this.#worker.terminate();
  }

  /**
   * Waits until the modules are loaded: Node.js and native addons abort the process when a thread is terminated before.
   * Meanwhile the thread keeps the process alive.
   */
  async #load(): Promise<void> {
    this.#worker.ref();
    await this.#loaded;
    this.#unrefIfIdle();
  }

  /** @returns the oldest question, if any */
  #answered() {
    const asked = this.#asked.shift();
    this.#unrefIfIdle();
    return asked;
  }

  #endWith(reason: unknown): void {
    this.#end ??= { reason };
    for (const { reject } of this.#asked.splice(0)) reject(this.#end.reason);
    this.#unrefIfIdle();
  }

  #unrefIfIdle(): void {
    if (this.#asked.length === 0 && !this.#isEnding) this.#worker.unref();
  }
}
