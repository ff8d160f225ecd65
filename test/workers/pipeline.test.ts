import { getEventListeners } from 'node:events';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { runPipeline } from '../../src/workers/pipeline.js';
import { type PlannedItem, plan } from '../../src/workers/plan.js';
import type { Progress } from '../../src/workers/progress.js';
import { FakeSource } from '../image/fake-source.js';
import { stateOf, turn } from '../storage/promise-state.js';

const CLUSTER = 512;
const CLUSTERS = 4;
const ITEM = CLUSTER * CLUSTERS;

interface WorkItem extends PlannedItem {
  readonly slot: number;
}

/** What a worker answers: sizes of clusters, and their bytes in the slot's memory. */
interface Answer {
  readonly sizes: Uint32Array;
  readonly bytes: Uint8Array;
}

interface Packing {
  readonly item: WorkItem;
  readonly guestOffset: number;
  finish(): void;
  fail(error: Error): void;
}

/** Lends out items until the test finishes them, in one slot of memory each, as the workers do. */
class FakePool {
  readonly packings: Packing[] = [];
  readonly inFlight = new Set<number>();
  most = 0;
  readonly #memory: Uint8Array;
  readonly #whenAsked: ((packing: Packing) => void) | undefined;

  constructor(slots: number, whenAsked?: (packing: Packing) => void) {
    this.#memory = new Uint8Array(slots * ITEM);
    this.#whenAsked = whenAsked;
  }

  /** Every cluster's bytes are its index; its size goes through zero, compressed and stored in turn. */
  pack(item: WorkItem): Promise<Answer> {
    const { guestOffset } = item;
    const clusters = Math.ceil(item.length / CLUSTER);
    expect(this.inFlight.has(item.slot)).toBe(false);
    this.inFlight.add(item.slot);
    this.most = Math.max(this.most, this.inFlight.size);
    const bytes = this.#memory.subarray(item.slot * ITEM, (item.slot + 1) * ITEM);
    expect(bytes.length).toBe(ITEM);
    return new Promise((resolve, reject) => {
      const finish = () => {
        const sizes = new Uint32Array(clusters);
        let at = 0;
        for (let index = 0; index < clusters; index += 1) {
          const cluster = guestOffset / CLUSTER + index;
          sizes[index] = [0, 1 + (cluster % 500), CLUSTER][cluster % 3]!;
          bytes.fill(cluster % 251, at, at + sizes[index]!);
          at += sizes[index]!;
        }
        resolve({ sizes, bytes });
      };
      const packing = { item, guestOffset, finish, fail: reject };
      this.packings.push(packing);
      this.#whenAsked?.(packing);
    });
  }
}

/** Notes what it is given; takes its time over it. */
class FakeWriter {
  readonly counts = { compressedClusters: 0, normalClusters: 0, compressedBytes: 0 };
  readonly written: string[] = [];
  failAt: number | undefined;
  whenWritten: ((cluster: number) => void) | undefined;
  readonly #pool: FakePool;

  constructor(pool: FakePool) {
    this.#pool = pool;
  }

  async take(kind: string, cluster: number, bytes: Uint8Array): Promise<void> {
    if (cluster === this.failAt) throw new Error(`no space for ${cluster}`);
    await turn();
    // The slot still holds this item: no other item was given it before the writer was done.
    expect(bytes.every((byte) => byte === cluster % 251)).toBe(true);
    this.written.push(`${kind} ${cluster} of ${bytes.length}`);
    this.whenWritten?.(cluster);
    if (kind === 'normal') this.counts.normalClusters += 1;
    else this.counts.compressedBytes += bytes.length;
    const { item } = this.#pool.packings.find(
      ({ guestOffset }) => guestOffset === Math.floor(cluster / CLUSTERS) * ITEM,
    )!;
    expect(this.#pool.inFlight.has(item.slot)).toBe(true);
  }

  /** An item's clusters, one after the other. */
  async store({ sizes, bytes }: Answer, { guestOffset }: PlannedItem): Promise<void> {
    let at = 0;
    for (const [index, size] of sizes.entries()) {
      const kind = size === CLUSTER ? 'normal' : 'compressed';
      if (size > 0) await this.take(kind, guestOffset / CLUSTER + index, bytes.subarray(at, at + size));
      at += size;
    }
  }
}

/** What the writer must be given for a disk of `clusters` clusters without holes. */
function expectedOf(clusters: number): string[] {
  return Array.from(
    { length: clusters },
    (_, cluster) =>
      [[], `compressed ${cluster} of ${1 + (cluster % 500)}`, `normal ${cluster} of ${CLUSTER}`][
        cluster % 3
      ]!,
  ).flat();
}

function make(size: number, slots: number, whenAsked?: (packing: Packing) => void) {
  const source = new FakeSource('fake', size === 0 ? [] : [{ kind: 'data', length: size }]);
  const pool = new FakePool(slots, whenAsked);
  const writer = new FakeWriter(pool);
  const progress: Progress[] = [];
  const run = (signal?: AbortSignal) => {
    const items = plan(source, { itemSize: ITEM, keepZeros: false });
    return runPipeline<Answer>(
      {
        next: async () => (await items.next()).value ?? undefined,
        pack: (item, slot) => pool.pack({ ...item, slot }),
        store: (answer, item) => writer.store(answer, item),
        storedBytes: () => writer.counts.compressedBytes + writer.counts.normalClusters * CLUSTER,
      },
      {
        slots,
        guestBytes: source.size,
        signal,
        onProgress: (now) => {
          progress.push(now);
          // An item is dealt with when its progress is told: from then on its slot may be lent again.
          const done = pool.packings.findLast(
            ({ guestOffset }) => guestOffset < now.guestBytesDone && guestOffset + ITEM >= now.guestBytesDone,
          );
          if (done !== undefined) pool.inFlight.delete(done.item.slot);
        },
      },
    );
  };
  return { source, pool, writer, progress, run };
}

const unhandled: unknown[] = [];
const note = (reason: unknown) => void unhandled.push(reason);
beforeEach(() => process.on('unhandledRejection', note));
afterEach(async () => {
  await turn();
  process.off('unhandledRejection', note);
  expect(unhandled.splice(0)).toEqual([]);
});

describe('the pipeline', () => {
  test('gives the writer every cluster in guest order, for any order of answers', async () => {
    const cases = fc.record({
      clusters: fc.integer({ min: 0, max: 60 }),
      odd: fc.constantFrom(0, 1, 100),
      slots: fc.integer({ min: 1, max: 6 }),
      order: fc.infiniteStream(fc.nat(5)),
    });
    await fc.assert(
      fc.asyncProperty(cases, async ({ clusters, odd, slots, order }) => {
        const size = Math.max(0, clusters * CLUSTER - odd);
        const waiting: Packing[] = [];
        const { pool, writer, run } = make(size, slots, (packing) => waiting.push(packing));
        let isOver = false;
        const running = run().finally(() => {
          isOver = true;
        });
        while (!isOver) {
          const [next] = waiting.splice(order.next().value! % Math.max(1, waiting.length), 1);
          next?.finish();
          await turn();
        }
        await running;
        expect(writer.written).toEqual(expectedOf(Math.ceil(size / CLUSTER)));
        expect(pool.packings.map(({ guestOffset }) => guestOffset)).toEqual(
          Array.from({ length: Math.ceil(size / ITEM) }, (_, index) => index * ITEM),
        );
        expect(pool.most).toBeLessThanOrEqual(slots);
      }),
      { numRuns: 60 },
    );
  });

  test('keeps as many items in flight as there are slots, and asks for the next when one is stored', async () => {
    const { pool, run } = make(10 * ITEM, 3);
    const running = run();
    while (pool.packings.length < 3) await turn();
    expect(pool.packings.length).toBe(3);
    pool.packings[1]!.finish();
    pool.packings[2]!.finish();
    expect(await stateOf(running)).toBe('waiting');
    expect(pool.packings.length).toBe(3);
    pool.packings[0]!.finish();
    while (pool.packings.length < 6) await turn();
    for (let index = 3; index < 10; index += 1) {
      while (pool.packings.length <= index) await turn();
      pool.packings[index]!.finish();
    }
    await running;
    expect(pool.most).toBe(3);
  });

  test('reports progress from 0 to the end, never backwards', async () => {
    const { progress, run, source, writer } = make(10 * ITEM - 100, 3, ({ finish }) => finish());
    await run();
    const done = progress.map(({ guestBytesDone }) => guestBytesDone);
    expect([done[0], done.at(-1)]).toEqual([0, source.size]);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    const { compressedBytes, normalClusters } = writer.counts;
    expect(progress.at(-1)).toEqual({
      guestBytesDone: source.size,
      guestBytes: source.size,
      dataBytes: source.size,
      storedBytes: compressedBytes + normalClusters * CLUSTER,
    });
  });

  test('returns the end of the last item, the only known size of a stream', async () => {
    const { run } = make(3 * ITEM - 100, 2, ({ finish }) => finish());
    expect(await run()).toBe(3 * ITEM - 100);
  });

  test('reports an empty disk as done', async () => {
    const { progress, run } = make(0, 2);
    await run();
    expect(progress.at(-1)).toEqual({ guestBytesDone: 0, guestBytes: 0, dataBytes: 0, storedBytes: 0 });
  });
});

describe('several stores at once', () => {
  /** Stores six items in four slots; `settle` ends the store of an item. */
  function late() {
    const stored: number[] = [];
    const settle: { resolve(): void; reject(error: Error): void }[] = [];
    let planned = 0;
    const ended = runPipeline<number, { guestOffset: number; length: number }>(
      {
        next: async () => (planned < 6 ? { guestOffset: planned++, length: 1 } : undefined),
        pack: async ({ guestOffset }) => guestOffset,
        store: () => new Promise((resolve, reject) => settle.push({ resolve, reject })),
        stored: async (answer) => void stored.push(answer),
        stores: 3,
        storedBytes: () => undefined,
      },
      { slots: 4, guestBytes: 6, onProgress: undefined, signal: undefined },
    );
    return { stored, settle, ended, planned: () => planned };
  }

  test('begin in guest order, and a slot is free when its item and all before it are stored', async () => {
    const { stored, settle, ended, planned } = late();
    await turn();
    expect(settle.length).toBe(3);
    settle[1]!.resolve();
    await turn();
    expect([stored, settle.length, planned()]).toEqual([[], 3, 4]);
    settle[0]!.resolve();
    await turn();
    // The second was stored already, so two slots are free again.
    expect([stored, settle.length, planned()]).toEqual([[0, 1], 5, 6]);
    for (const { resolve } of settle) resolve();
    await turn();
    settle[5]!.resolve();
    expect(await ended).toBe(6);
    expect(stored).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('report the first failure in guest order, once no store uses the memory of its item', async () => {
    const { settle, ended } = late();
    await turn();
    settle[2]!.reject(new Error('third'));
    settle[1]!.reject(new Error('second'));
    settle[0]!.resolve();
    expect(await stateOf(ended)).toBe('waiting');
    expect(settle.length).toBe(4);
    settle[3]!.resolve();
    await expect(ended).rejects.toThrow('second');
  });
});

describe('the first error in guest order', () => {
  test('ends the run, whichever came first in time, and no later cluster is written', async () => {
    const { pool, writer, run } = make(20 * ITEM, 4);
    const running = run();
    while (pool.packings.length < 4) await turn();
    pool.packings[3]!.fail(new Error('third'));
    pool.packings[1]!.fail(new Error('first'));
    expect(await stateOf(running)).toBe('waiting');
    pool.packings[0]!.finish();
    await expect(running).rejects.toThrow('first');
    const { length } = pool.packings;
    // Items in flight may still fail or finish.
    pool.packings[2]!.fail(new Error('second'));
    pool.packings.at(-1)!.finish();
    await turn();
    expect(writer.written).toEqual(expectedOf(CLUSTERS));
    expect(pool.packings.length).toBe(length);
  });

  test('may be the writer’s, while the workers still run', async () => {
    const { pool, writer, run } = make(20 * ITEM, 4);
    writer.failAt = 5;
    const running = run();
    while (pool.packings.length < 4) await turn();
    for (const { finish } of pool.packings) finish();
    await expect(running).rejects.toThrow('no space for 5');
    expect(writer.written).toEqual(expectedOf(5));
  });

  test('may be the source map’s, with items in flight that fail later', async () => {
    const { source, pool, run } = make(20 * ITEM, 4);
    const { map } = source;
    source.map = (offset) =>
      offset < 2 * ITEM ? map.call(source, offset) : Promise.reject(new Error('EIO at the map'));
    const running = run();
    await expect(running).rejects.toThrow('EIO at the map');
    for (const { fail } of pool.packings) fail(new Error('too late'));
  });
});

describe('the signal', () => {
  const aborted = (cause: unknown) => expect.objectContaining({ code: 'ERR_ABORTED', cause });

  test('aborted before the run ends it before any write', async () => {
    const { writer, run } = make(20 * ITEM, 4, ({ finish }) => finish());
    await expect(run(AbortSignal.abort('before'))).rejects.toThrow(aborted('before'));
    expect(writer.written).toEqual([]);
  });

  test('ends a run whose workers never answer', async () => {
    const { run } = make(20 * ITEM, 4);
    const controller = new AbortController();
    const running = run(controller.signal);
    expect(await stateOf(running)).toBe('waiting');
    controller.abort('enough');
    await expect(running).rejects.toThrow(aborted('enough'));
  });

  test('ends a run whose last item is being stored', async () => {
    const controller = new AbortController();
    const { run, writer } = make(2 * ITEM, 4, ({ finish }) => finish());
    writer.whenWritten = (cluster) => {
      if (cluster >= 2 * CLUSTERS - 1) controller.abort('late');
    };
    await expect(run(controller.signal)).rejects.toThrow(aborted('late'));
  });

  test('has at most one listener during the run, and none after it', async () => {
    const { signal } = new AbortController();
    const { run, progress } = make(50 * ITEM, 4, ({ finish }) => finish());
    const running = run(signal);
    let most = 0;
    while (progress.at(-1)?.guestBytesDone !== 50 * ITEM) {
      most = Math.max(most, getEventListeners(signal, 'abort').length);
      await turn();
    }
    await running;
    expect(most).toBeLessThanOrEqual(1);
    expect(getEventListeners(signal, 'abort')).toEqual([]);
  });

  test('aborted together with a failure ends the run once', async () => {
    const { pool, run } = make(20 * ITEM, 4);
    const controller = new AbortController();
    const running = run(controller.signal);
    while (pool.packings.length < 4) await turn();
    pool.packings[0]!.fail(new Error('broken'));
    controller.abort('enough');
    await expect(running).rejects.toThrow();
    expect(getEventListeners(controller.signal, 'abort')).toEqual([]);
  });
});
