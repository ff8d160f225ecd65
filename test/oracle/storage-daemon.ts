/** qemu-storage-daemon: QEMU's block layer without a machine, which serves disks over NBD as a running machine does. */
import { createInterface, type Interface } from 'node:readline';
import { type Running, start } from './run.js';

interface Message {
  readonly event?: string;
  readonly data?: Readonly<Record<string, unknown>>;
  readonly error?: { readonly desc: string };
  readonly return?: unknown;
}

export class StorageDaemon implements AsyncDisposable {
  readonly #running: Running;
  readonly #lines: Interface;
  /** Answers and events that no call has waited for. */
  readonly #messages: Message[] = [];
  #arrived = () => {};

  /** @param args options of the program; QMP is on its standard streams */
  static async start(args: readonly string[]): Promise<StorageDaemon> {
    const monitor = ['--chardev', 'stdio,id=monitor', '--monitor', 'chardev=monitor'];
    const running = start('qemu-storage-daemon', [...args, ...monitor], { held: true });
    const daemon = new StorageDaemon(running);
    await daemon.qmp('qmp_capabilities');
    return daemon;
  }

  private constructor(running: Running) {
    this.#running = running;
    this.#lines = createInterface({ input: running.child.stdout! });
    this.#lines.on('line', (line) => {
      this.#messages.push(JSON.parse(line));
      this.#arrived();
    });
  }

  /** @returns the answer of a command @throws when the daemon refuses it or ends */
  async qmp(execute: string, args: object = {}): Promise<unknown> {
    this.#running.child.stdin!.write(`${JSON.stringify({ execute, arguments: args })}\n`);
    const answer = await this.#next((message) => 'return' in message || 'error' in message);
    if (answer.error !== undefined) throw new Error(`${execute}: ${answer.error.desc}`);
    return answer.return;
  }

  /** Waits for an event with these data. */
  async event(name: string, wanted: Readonly<Record<string, string>>): Promise<void> {
    const isWanted = ([key, value]: [string, string], data: Message['data']) => data?.[key] === value;
    await this.#next(
      ({ event, data }) => event === name && Object.entries(wanted).every((pair) => isWanted(pair, data)),
    );
  }

  async #next(isWanted: (message: Message) => boolean): Promise<Message> {
    const ended = this.#running.finished.then(({ stderr }) => {
      throw new Error(`qemu-storage-daemon ended: ${stderr}`);
    });
    ended.catch(() => {});
    for (;;) {
      const index = this.#messages.findIndex(isWanted);
      if (index >= 0) return this.#messages.splice(index, 1)[0]!;
      const arrival = new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
      await Promise.race([arrival, ended]);
    }
  }

  /** Ends the daemon, which saves persistent bitmaps. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { child, finished } = this.#running;
    child.kill('SIGTERM');
    await finished;
    this.#lines.close();
  }
}
