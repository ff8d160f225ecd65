/** Random disks over random targets, compared with a model of plain bytes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { roundUp } from '../../src/arithmetic.js';
import { RawWriter } from '../../src/raw/raw-writer.js';
import { tries } from '../stage.js';
import { expectSameBytes, RecordingStorage } from '../storage/recording-storage.js';
import { type DiskItem, expectedContent, SECTOR, targetOver, writeDisk } from './raw-disk-model.js';

/** Sectors of an item. Real items are larger; both sizes are multiples of a block. */
const ITEM = 24;

/** The sectors of an item of `sectors` that contain data; runs may touch. */
const runsOf = (sectors: number): fc.Arbitrary<DiskItem['runs']> =>
  fc
    .uniqueArray(fc.nat(sectors), { maxLength: 12 })
    .map((cuts) => cuts.sort((a, b) => a - b))
    .chain((cuts) =>
      fc.array(fc.boolean(), { minLength: 12, maxLength: 12 }).map((kept) =>
        cuts.slice(1).flatMap((to, index) => {
          const from = cuts[index];
          return from !== undefined && kept[index] ? [[from, to] as const] : [];
        }),
      ),
    );

const disk = fc.integer({ min: 0, max: 5 * ITEM + 7 }).chain((sectors) =>
  fc
    .tuple(
      ...Array.from({ length: Math.ceil(sectors / ITEM) }, (_, index) => {
        const start = index * ITEM;
        const length = Math.min(ITEM, sectors - start);
        return fc.option(
          fc.oneof(runsOf(length), fc.constant([[0, length]] as const)).map((runs) => ({
            start,
            sectors: length,
            runs,
          })),
          { nil: undefined },
        );
      }),
    )
    .map((items) => ({ sectors, items: items.filter((item) => item !== undefined) })),
);

const target = fc.record({
  kind: fc.constantFrom('new' as const, 'existing' as const, 'device' as const),
  /** Bytes after the disk's end; a device has whole sectors. */
  more: fc.oneof(fc.nat(300), fc.nat(12 * SECTOR), fc.constant(-1), fc.constant(SECTOR)),
  zeroed: fc.boolean(),
  alignment: fc.constantFrom(1, 512, 4096),
  /** Number of the first write that goes through the page cache. */
  buffered: fc.option(fc.nat(6), { nil: undefined }),
  punch: fc.constantFrom('takes', 'refuses', 'refuses every other one'),
});

test('a target holds the bytes of the disk, and keeps its own bytes after the end of the disk', async () => {
  await fc.assert(
    fc.asyncProperty(disk, target, fc.scheduler(), async ({ sectors, items }, plan, scheduler) => {
      const diskSize = sectors * SECTOR;
      const larger = Math.max(0, diskSize + plan.more);
      const size = { new: 0, existing: larger, device: roundUp(larger, SECTOR) }[plan.kind];
      const before = new Uint8Array(size).fill(plan.zeroed ? 0 : 0xaa);
      const storage = new RecordingStorage({
        alignment: plan.alignment,
        deviceSize: plan.kind === 'device' ? size : undefined,
        delay: () => scheduler.schedule(Promise.resolve()),
      });
      storage.preset(0, before);
      // Only the block in which the disk ends may be read.
      storage.readsExpected = diskSize % plan.alignment !== 0;
      storage.refusesPunch = (index) =>
        plan.punch !== 'takes' && (plan.punch === 'refuses' || index % 2 === 0);
      storage.failWhen = (_, index) => {
        if (index === plan.buffered) storage.alignment = 1;
        return undefined;
      };

      const writer = new RawWriter(storage, diskSize, targetOver(plan.kind, before, plan.zeroed));
      const length = await scheduler.waitFor(writeDisk(writer, items));

      expectSameBytes(storage.bytes(0, length), expectedContent(before, diskSize, items));
      expect(storage.violations).toEqual([]);
      expect(storage.reads.length).toBeLessThanOrEqual(1);
      const runs = items.flatMap((item) => item.runs);
      expect(writer.dataBytes).toBe(runs.reduce((sum, [from, to]) => sum + (to - from) * SECTOR, 0));
      if (plan.kind === 'new' || plan.zeroed) expect(storage.punches).toEqual([]);
    }),
    { numRuns: tries(250) },
  );
});
