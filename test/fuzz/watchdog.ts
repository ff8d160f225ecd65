/**
 * Ends the process when one mutant takes too long, because a loop on this thread would block every other report. It
 * measures processor time, so that a busy machine is not taken for a hang; waiting counts after a minute.
 */
import { Worker } from 'node:worker_threads';

const MOST_CPU_MS = 5000;
const MOST_WALL_MS = 60_000;

const WATCH = `
  const { workerData: { turn, words } } = require('node:worker_threads');
  const cpu = () => { const { user, system } = process.cpuUsage(); return (user + system) / 1000; };
  let seen = -1, since = 0, cpuSince = 0;
  setInterval(() => {
    const now = Atomics.load(turn, 0);
    if (now !== seen) { seen = now; since = Date.now(); cpuSince = cpu(); return; }
    if (now === 0 || (cpu() - cpuSince < ${MOST_CPU_MS} && Date.now() - since < ${MOST_WALL_MS})) return;
    const text = Buffer.from(words.slice(0, Atomics.load(turn, 1))).toString();
    require('node:fs').writeSync(2, 'HANG: ' + text + '\\n');
    process.kill(process.pid, 'SIGKILL');
  }, 250);
`;

export class Watchdog {
  readonly #turn = new Int32Array(new SharedArrayBuffer(8));
  readonly #words = new Uint8Array(new SharedArrayBuffer(4096));
  readonly #worker: Worker;
  #count = 0;

  constructor() {
    const workerData = { turn: this.#turn, words: this.#words };
    this.#worker = new Worker(WATCH, { eval: true, workerData });
    this.#worker.unref();
  }

  /** Starts the timer for a step. @param words name the step in the message */
  begin(words: string): void {
    const { written } = new TextEncoder().encodeInto(words, this.#words);
    Atomics.store(this.#turn, 1, written);
    this.#count += 1;
    Atomics.store(this.#turn, 0, this.#count);
  }

  /** It is over. */
  end(): void {
    Atomics.store(this.#turn, 0, 0);
  }

  async close(): Promise<void> {
    await this.#worker.terminate();
  }
}
