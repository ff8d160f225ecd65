/** Random histories of the compressed write cache, compared with a model of bytes and counts. */
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { AlignedSlab } from '../../src/system/aligned-memory.js';
import { tries } from '../stage.js';
import { CLUSTER } from './write-cache-model.js';
import { type Item, type Plan, type Step, WriteCacheRun } from './write-cache-run.js';

const item: fc.Arbitrary<Item> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ lengths: fc.tuple(fc.integer({ min: 1, max: CLUSTER - 1 })) }) },
  { weight: 3, arbitrary: fc.record({ lengths: fc.tuple(fc.integer({ min: 1, max: 300 })) }) },
  { weight: 1, arbitrary: fc.record({ lengths: fc.constant([CLUSTER / 4]) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      lengths: fc.array(fc.integer({ min: 1, max: CLUSTER - 1 }), { minLength: 2, maxLength: 8 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ leave: fc.constantFrom('skip', 'reuse') }) },
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('append'),
      items: fc.array(item, { minLength: 1, maxLength: 12 }),
      order: fc.array(fc.nat(100), { minLength: 12, maxLength: 12 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('flush', 'settle') }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('buffered') }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('drop'), flushFirst: fc.boolean() }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('resize'), slots: fc.integer({ min: 1, max: 5 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('read'),
      offset: fc.nat(2 ** 24),
      length: fc.nat(3 * CLUSTER),
    }),
  },
);

/** Histories without failures, optionally with a stop in the middle. */
const plan = (extra: {
  stop?: boolean;
  failure?: fc.Arbitrary<NonNullable<Plan['failure']>>;
}): fc.Arbitrary<Plan> =>
  fc
    .record({
      slots: fc.integer({ min: 1, max: 5 }),
      shuffled: fc.boolean(),
      alignment: fc.constantFrom(1, 512, 4096),
      before: fc.array(step, { minLength: 1, maxLength: 12 }),
      after: fc.array(step, { maxLength: 6 }),
      failure: extra.failure ?? fc.constant(undefined),
    })
    .map(({ before, after, ...rest }) => ({
      ...rest,
      steps: extra.stop ? [...before, { kind: 'stop' }, ...after] : [...before, ...after],
    }));

describe('random histories', () => {
  let lent = 0;
  let running: WriteCacheRun | undefined;
  const { take, giveBack } = AlignedSlab.prototype;

  // No spies: they would keep the memory of every run alive.
  beforeAll(() => {
    AlignedSlab.prototype.take = function () {
      lent += 1;
      if (running !== undefined && lent > running.limit) running.wrong.push(`${lent} slots were lent`);
      return take.call(this);
    };
    AlignedSlab.prototype.giveBack = function (slot) {
      lent -= 1;
      giveBack.call(this, slot);
    };
  });
  afterAll(() => Object.assign(AlignedSlab.prototype, { take, giveBack }));

  async function holds(plans: fc.Arbitrary<Plan>, numRuns: number): Promise<void> {
    const property = fc.asyncProperty(plans, fc.scheduler(), async (chosen, scheduler) => {
      lent = 0;
      running = new WriteCacheRun(chosen, scheduler);
      expect(await running.run()).toEqual([]);
    });
    await fc.assert(property, { numRuns: tries(numRuns) });
  }

  test('the storage gets every accepted byte, and each host cluster is written once between flushes', async () => {
    await holds(plan({}), 300);
  });

  test('a stop in the middle loses nothing, and later writes bypass the cache', async () => {
    await holds(plan({ stop: true }), 200);
  });

  test('after a failure of any write every later call rejects with it, and no accepted byte is lost', async () => {
    const failure = fc.record({ write: fc.nat(15), taken: fc.nat(CLUSTER) });
    await holds(plan({ failure }), 200);
  });

  test('a failure of the first write is reported', async () => {
    await holds(plan({ failure: fc.record({ write: fc.constant(0), taken: fc.nat(CLUSTER) }) }), 100);
  });

  test('a failure of the last, partial write is reported', async () => {
    await holds(plan({ failure: fc.record({ write: fc.constant('last'), taken: fc.nat(4096) }) }), 150);
  });

  test('a failure after a stop is reported', async () => {
    const failure = fc.record({ write: fc.integer({ min: 3, max: 40 }), taken: fc.nat(CLUSTER) });
    await holds(plan({ stop: true, failure }), 150);
  });
});
