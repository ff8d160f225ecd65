/**
 * Works on the items of a pool on the pool's own thread, for disks so small that the start of another thread takes
 * longer than the work. No system call blocks it: files are read on the thread pool of Node.js before the item begins.
 */
import { openExports } from '../nbd/open-exports.js';
import { readFully } from '../system/read-fully.js';
import type { TaskItem } from './messages/task.js';
import type { AnyTask, Question } from './messages/thread.js';
import type { Segment } from './segments.js';
import { type Answerer, answerer } from './worker-session.js';

/** The thread's memory serves one pool at a time. */
let isTaken = false;

/** The highest level at which every engine compresses an item within about 0.1 s, for which signals must wait. */
const HIGHEST_LEVEL = 7;

export class OwnThread {
  readonly hasEnded = false;
  #answer: Answerer | undefined;
  #memory: { readonly arrivals: SharedArrayBuffer; readonly itemSize: number } | undefined;
  #settled: Promise<unknown> = Promise.resolve();

  /**
   * @returns undefined while another pool has it, and for a setup whose items would block the event loop: slow levels,
   *   payloads to inflate, direct reads
   */
  static takeFor(setup: AnyTask['setup']): OwnThread | undefined {
    const level = setup.task === 'compress clusters' ? (setup.compressor?.level ?? 0) : 0;
    if (level > HIGHEST_LEVEL || setup.inflate.length > 0 || setup.readAlignment > 1 || isTaken)
      return undefined;
    // A read from a server would block the event loop.
    if (openExports().length > 0) return undefined;
    isTaken = true;
    return new OwnThread();
  }

  private constructor() {}

  /** As `WorkerThread.ask`. */
  ask(question: Question): Promise<unknown> {
    const answer = this.#ask(question);
    this.#settled = answer.catch(() => {});
    return answer;
  }

  /** Waits for the last answer, without a limit: a read that hangs would write to memory of the pool later. */
  async becomesIdle(): Promise<boolean> {
    await this.#settled;
    return true;
  }

  /** Lets another pool take the thread. */
  async end(): Promise<void> {
    isTaken = false;
  }

  async #ask(question: Question): Promise<unknown> {
    if (question.kind === 'setup') {
      this.#answer = answerer();
      this.#memory = { arrivals: question.memory.arrivals, itemSize: question.setup.itemSize };
    }
    if (question.kind !== 'item') return this.#answer?.(question);
    return this.#answer?.({ kind: 'item', item: await this.#withArrived(question.item) });
  }

  /** @returns the item with the bytes of its files in memory, as those of a stream */
  async #withArrived(item: AnyTask['item']): Promise<AnyTask['item']> {
    if (!('segments' in item)) return item;
    const segments: Segment[] = [];
    for (const segment of item.segments) segments.push(await this.#arrived(segment, item));
    return { ...item, segments };
  }

  /** @returns the segment unchanged if it cannot be read: the item's reader then reports the error */
  async #arrived(segment: Segment, { slot }: TaskItem): Promise<Segment> {
    if (segment.kind !== 'data' || this.#memory === undefined) return segment;
    const { at, length, descriptor, offset } = segment;
    const { arrivals, itemSize } = this.#memory;
    const place = new Uint8Array(arrivals, slot * itemSize + at, length);
    const found = await readFully(descriptor, place, offset).catch(() => 0);
    return found === length ? { kind: 'arrived', at, length } : segment;
  }
}
