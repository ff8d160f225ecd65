/** A write right after a file was opened changes the times that are compared later, for any resolution of the times. */
import { closeSync, openSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { openRawSource } from '../../src/raw/raw-source.js';
import { settleTimes, untilTickIsOver } from '../../src/system/timestamp-tick.js';
import { useScratch } from '../e2e/scratch.js';

const path = useScratch();
const SECOND = 1_800_000_000;
const never = () => {
  throw new Error('asked for the file system without need');
};

describe('the wait', () => {
  const changedAt = (seconds: number, fraction = 0n) => ({
    ctimeNs: BigInt(seconds) * 1_000_000_000n + fraction,
  });
  const ms = (after: number) => SECOND * 1000 + after;

  test.each([
    ['fractions of a second: two steps of the kernel', 7n, false, 0, 20],
    ['the same, when part of it has passed', 7n, false, 15, 5],
    ['the same, long after', 7n, false, 21, 0],
    ['whole seconds: to the end of the second', 0n, false, 300, 720],
    ['whole seconds, in a later one', 0n, false, 1020, 0],
    ['even seconds, as FAT has them: to the end of both', 0n, true, 1300, 720],
    ['a time in the future: one step', 7n, false, -60_000, 20],
    ['a second in the future: one second', 0n, false, -60_000, 1020],
  ])('is with %s', (_, fraction, fat, after, expected) => {
    const asked = fraction === 0n ? () => fat : never;
    expect(untilTickIsOver(changedAt(SECOND, fraction), asked, ms(after))).toBe(expected);
  });
});

test('a write right after the wait is always detected', async () => {
  for (let round = 0; round < 12; round += 1) {
    const name = path('source.raw');
    writeFileSync(name, `content ${round % 10}`);
    const source = await openRawSource(name, false);
    try {
      await source.settle();
      writeFileSync(name, `changed ${round % 10}`);
      await expect(source.refuseChanges()).rejects.toMatchObject({ code: 'ERR_SOURCE_CHANGED', file: name });
    } finally {
      await source.close();
    }
  }
});

test('a file whose time of change stays ahead of the clock for longer than any step is an error', async () => {
  const name = path('busy.raw');
  writeFileSync(name, 'a');
  const descriptor = openSync(name, 'r');
  // Whatever the file's time is, this clock is behind it.
  let now = 0;
  const waits: number[] = [];
  const clock = {
    now: () => now,
    wait: async (ms: number) => {
      waits.push(ms);
      now += ms;
    },
  };
  try {
    const error = { code: 'ERR_SOURCE_CHANGED', message: expect.stringContaining('is being written to') };
    await expect(settleTimes(descriptor, name, clock)).rejects.toMatchObject(error);
    expect(new Set(waits)).toEqual(new Set([20]));
    expect(now).toBe(2020);
  } finally {
    closeSync(descriptor);
  }
});
