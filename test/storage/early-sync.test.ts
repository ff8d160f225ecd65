/** A sync beside the work: only when enough was written, and only for a disk that waits for the program. */
import { expect, test } from 'vitest';
import { EarlySync } from '../../src/storage/early-sync.js';

const MIB = 1024 * 1024;

/** @returns a file's early syncs, on a clock that only `writing` and `waiting` move, in milliseconds */
function makeEarlySync(failure?: Error) {
  let time = 0;
  let syncs = 0;
  const sync = async () => {
    syncs += 1;
    if (failure !== undefined) throw failure;
  };
  const early = new EarlySync(sync, () => time);
  return {
    early,
    syncs: () => syncs,
    waiting: (duration: number) => {
      time += duration;
    },
    writing: (duration: number) => {
      early.diskWorks();
      time += duration;
      early.diskWaits();
    },
  };
}

test('starts when 16 MiB were written since the last one', async () => {
  const { early, syncs, waiting, writing } = makeEarlySync();
  const counts = [15, 16, 31, 32].map((mebibytes) => {
    waiting(10);
    writing(10);
    void early.startIfWorthIt(mebibytes * MIB);
    return syncs();
  });
  expect(counts).toEqual([0, 1, 1, 2]);
});

test.each([
  [4, 0],
  [6, 1],
])('a disk that waited for %i ms of 100 gets %i', (wait, expected) => {
  const { early, syncs, waiting, writing } = makeEarlySync();
  waiting(wait);
  writing(100 - wait);
  void early.startIfWorthIt(16 * MIB);
  expect(syncs()).toBe(expected);
});

test('time before the last sync does not count', () => {
  const { early, syncs, waiting, writing } = makeEarlySync();
  waiting(1000);
  writing(10);
  void early.startIfWorthIt(16 * MIB);
  writing(100);
  void early.startIfWorthIt(32 * MIB);
  expect(syncs()).toBe(1);
});

test('a failure is kept, and waited for: the system may not report it again', async () => {
  const failure = new Error('EIO');
  const { early, waiting, writing } = makeEarlySync(failure);
  await early.end();
  waiting(10);
  writing(10);
  void early.startIfWorthIt(16 * MIB);
  await expect(early.end()).rejects.toBe(failure);
  await expect(early.end()).rejects.toBe(failure);
});
