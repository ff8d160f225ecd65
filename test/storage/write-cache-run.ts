/**
 * Runs a random history on a compressed write cache as the allocator does (it appends byte after byte and sets the data
 * end of each host cluster that it leaves) and compares it with the model. Many calls run at once; a scheduler decides
 * when each write of the storage takes effect.
 */
import type { Scheduler } from 'fast-check';
import { CompressedWriteCache } from '../../src/storage/compressed-write-cache.js';
import { turn } from './promise-state.js';
import { type Failure, RecordingStorage } from './recording-storage.js';
import { BACKGROUND, CacheModel, CLUSTER } from './write-cache-model.js';

/** One step: compressed clusters of these lengths in one call, or a jump of the stream. */
export type Item = { readonly lengths: readonly number[] } | { readonly leave: 'skip' | 'reuse' };

export type Step =
  | { readonly kind: 'append'; readonly items: readonly Item[]; readonly order: readonly number[] }
  | { readonly kind: 'flush' | 'settle' | 'stop' | 'buffered' }
  | { readonly kind: 'drop'; readonly flushFirst: boolean }
  | { readonly kind: 'resize'; readonly slots: number }
  | { readonly kind: 'read'; readonly offset: number; readonly length: number };

export interface Plan {
  readonly slots: number;
  /** Runs the calls of one append in random order; the cache then has at least two slots. */
  readonly shuffled: boolean;
  readonly alignment: number;
  readonly steps: readonly Step[];
  /** The write that fails: by number, or the last one, and how many of its bytes arrive. */
  readonly failure: { readonly write: number | 'last'; readonly taken: number } | undefined;
}

/** The file's length: a device's, so that reads are never short. */
const DEVICE_SIZE = 2 ** 30;

export class WriteCacheRun {
  readonly storage: RecordingStorage;
  readonly model = new CacheModel();
  /** The most slots that the cache may lend. */
  limit: number;
  readonly wrong: string[] = [];
  readonly #cache: CompressedWriteCache;
  readonly #plan: Plan;
  readonly #scheduler: Scheduler;
  readonly #error = new Error('injected');
  #pending: Promise<void>[] = [];
  #failed = false;
  #stopped = false;
  /** The position of the stream; undefined until the next host cluster is chosen. */
  #cursor: { cluster: number; at: number } | undefined;
  #frontier = 1;
  readonly #reusable: number[] = [];

  constructor(plan: Plan, scheduler: Scheduler) {
    this.#plan = plan;
    this.#scheduler = scheduler;
    this.limit = plan.shuffled ? Math.max(2, plan.slots) : plan.slots;
    const { alignment, failure } = plan;
    const delay = () => scheduler.schedule(Promise.resolve());
    this.storage = new RecordingStorage({ alignment, background: BACKGROUND, delay });
    this.storage.size = DEVICE_SIZE;
    if (failure !== undefined && failure.write !== 'last') {
      this.storage.failNth(failure.write, this.#error, failure.taken);
    }
    this.#cache = CompressedWriteCache.create(this.storage, CLUSTER, this.limit * CLUSTER);
  }

  /** @returns violations, as sentences */
  async run(): Promise<readonly string[]> {
    for (const step of this.#plan.steps) {
      if (this.#failed) break;
      await this.#take(step);
    }
    await this.#settle();
    await this.#end();
    this.wrong.push(...this.storage.violations);
    return this.wrong;
  }

  async #take(step: Step): Promise<void> {
    switch (step.kind) {
      case 'append':
        return this.#append(step.items, step.order);
      case 'flush':
        return this.#flush();
      case 'settle':
        return this.#settle();
      case 'stop':
        return this.#stop();
      case 'buffered':
        // The alignment must not change during a write that is compared with it.
        await this.#settle();
        this.storage.alignment = 1;
        return;
      case 'drop':
        return this.#drop(step.flushFirst);
      case 'resize':
        this.limit = this.#plan.shuffled ? Math.max(2, step.slots) : step.slots;
        this.#cache.setCacheSize(this.limit * CLUSTER);
        return;
      case 'read':
        return this.#read(step.offset, step.length);
    }
  }

  async #append(items: readonly Item[], order: readonly number[]): Promise<void> {
    const calls = items.map((item) =>
      'leave' in item ? this.#leave(item.leave) : this.#allocate(item.lengths),
    );
    const keyOf = (index: number) => order[index % order.length] ?? 0;
    const turns = [...calls.keys()];
    if (this.#plan.shuffled) turns.sort((one, other) => keyOf(one) - keyOf(other));
    for (const index of turns) {
      calls[index]?.();
      if (keyOf(index) % 3 === 0 && this.#scheduler.count() > 0) await this.#scheduler.waitOne();
      if (keyOf(index) % 2 === 0) await turn();
    }
  }

  /** Takes the next bytes of the stream. @returns the call that writes them */
  #allocate(lengths: readonly number[]): () => void {
    const length = lengths.reduce((sum, each) => sum + each, 0);
    // A reused host cluster has no free neighbour to continue into.
    const { cluster, at } = this.#cursor ?? { cluster: this.#frontier, at: 0 };
    if (cluster + 1 < this.#frontier && at + length > CLUSTER) {
      const leave = this.#leave('skip');
      const write = this.#allocate(lengths);
      return () => {
        leave();
        write();
      };
    }
    const end = at + length;
    for (let index = cluster; index * CLUSTER < cluster * CLUSTER + end; index += 1) {
      if (index > cluster || at === 0) this.#open(index);
    }
    this.#cursor = { cluster: cluster + Math.floor(end / CLUSTER), at: end % CLUSTER };
    if (this.#cursor.at === 0) this.#cursor = undefined;
    const offset = cluster * CLUSTER + at;
    return () => {
      const bytes = this.model.call(offset, length);
      const [only, ...more] = lengths;
      const call =
        only === length && more.length === 0
          ? this.#cache.write(offset, bytes)
          : this.#cache.writeRun(offset, lengths, bytes);
      this.#track(call.then(() => this.model.accept(offset, bytes)));
    };
  }

  #open(index: number): void {
    this.model.open(index, this.storage.writes.length).straight = this.#stopped;
    this.#frontier = Math.max(this.#frontier, index + 1);
  }

  /** Moves the stream elsewhere. @returns the call that sets the data end of the host cluster it leaves */
  #leave(where: 'skip' | 'reuse'): () => void {
    const left = this.#cursor;
    this.#frontier += 1;
    const reused = where === 'reuse' ? this.#reusable.shift() : undefined;
    if (reused !== undefined) {
      this.#check(this.model.wrongWithWrites(reused, this.storage.writes));
      this.#cursor = { cluster: reused, at: 0 };
    } else {
      this.#cursor = undefined;
    }
    return () => {
      if (left !== undefined && left.at > 0) this.#cache.setDataEnd(left.cluster, left.at);
    };
  }

  #flush(): void {
    this.model.flushes += 1;
    const wrongWith = this.model.snapshot();
    const bytesOf = (index: number) => this.storage.bytes(index * CLUSTER, CLUSTER);
    this.#track(this.#cache.flush().then(() => this.#check(wrongWith(bytesOf))));
  }

  #stop(): void {
    this.model.flushes += 1;
    this.#stopped = true;
    this.storage.readsExpected = true;
    for (const cluster of this.model.clusters.values()) cluster.straight = true;
    this.#track(this.#cache.stop());
  }

  /** Drops the stream's current host cluster. */
  async #drop(flushFirst: boolean): Promise<void> {
    const cursor = this.#cursor;
    if (cursor === undefined || cursor.at === 0 || this.#stopped) return;
    await this.#settle();
    if (flushFirst) this.#flush();
    if (this.#failed) return;
    const cluster = this.model.get(cursor.cluster);
    cluster.dropped = true;
    cluster.flushesBy = this.model.flushes;
    await this.#drive(this.#watch(this.#cache.drop(cursor.cluster)));
    cluster.to = this.storage.writes.length;
    this.#reusable.push(cursor.cluster);
    this.#cursor = undefined;
  }

  async #read(offset: number, length: number): Promise<void> {
    const from = offset % ((this.#frontier + 1) * CLUSTER);
    const { readsExpected } = this.storage;
    this.storage.readsExpected = true;
    const model = this.model.frozen();
    const reading = this.#cache.read(from, length).then((found) => {
      this.#check(model.wrongWith(found, from, !this.#failed));
    });
    await this.#drive(reading);
    this.storage.readsExpected = readsExpected;
  }

  /** Ends the last host cluster, stops and frees the cache, and compares everything. */
  async #end(): Promise<void> {
    if (this.#plan.failure?.write === 'last') {
      const { taken } = this.#plan.failure;
      this.storage.failWhen = (): Failure => ({ error: this.#error, taken });
    }
    if (!this.#failed) this.#leave('skip')();
    await this.#drive(this.#watch(this.#cache.stop()));
    if (this.#failed) return this.#endFailed();
    this.#cache.free();
    const size = (this.#frontier + 1) * CLUSTER;
    this.#check(this.model.wrongWith(this.storage.bytes(0, size), 0, true));
    for (const index of this.model.clusters.keys()) {
      this.#check(this.model.wrongWithWrites(index, this.storage.writes));
    }
  }

  /** After a failure: every call rejects with its error, no more is written, no byte is lost. */
  async #endFailed(): Promise<void> {
    const { length } = this.storage.writes;
    this.#leave('skip')();
    const calls = [
      this.#cache.write(500 * CLUSTER, new Uint8Array(1)),
      this.#cache.flush(),
      this.#cache.stop(),
    ];
    const outcomes = Promise.allSettled(calls);
    await this.#drive(outcomes.then(() => {}));
    for (const outcome of await outcomes) {
      if (outcome.status === 'fulfilled') this.wrong.push('a call after the failure succeeded');
      else if (outcome.reason !== this.#error) this.wrong.push(`a call after the failure: ${outcome.reason}`);
    }
    if (this.storage.writes.length > length) this.wrong.push('something was written after the failure');
    await this.#read(0, (this.#frontier + 1) * CLUSTER);
    this.#cache.free();
  }

  /** Records a pending call. */
  #track(call: Promise<void>): void {
    this.#pending.push(this.#watch(call));
  }

  /** A call may fail with the injected error, and with no other. */
  #watch(call: Promise<void>): Promise<void> {
    return call.catch((error) => {
      if (error === this.#error) this.#failed = true;
      else this.wrong.push(`unexpected: ${error}`);
    });
  }

  async #settle(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    await this.#drive(Promise.all(pending).then(() => {}));
  }

  /** Lets scheduled reads and writes take effect, one by one, until `call` has ended. */
  async #drive(call: Promise<void>): Promise<void> {
    let over = false;
    const done = call.finally(() => {
      over = true;
    });
    done.catch(() => {});
    for (;;) {
      await turn();
      if (over) return done;
      if (this.#scheduler.count() === 0) throw new Error(`deadlock; ${this.wrong.join('; ')}`);
      await this.#scheduler.waitOne();
    }
  }

  #check(wrong: string | undefined): void {
    if (wrong !== undefined) this.wrong.push(wrong);
  }
}
