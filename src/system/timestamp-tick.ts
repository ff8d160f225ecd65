/**
 * Waits until the next write to a file must change its time stamps. File systems store times in steps, and two writes
 * within one step get the same time. A reader that starts between them cannot detect the second. Git calls such files
 * "racily clean".
 */
import { type BigIntStats, fstat, statfsSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Qcow2cError, quoted } from '../errors.js';

/** Linux takes the time stamps from a clock that ticks every 1 to 10 ms; twice the longest step covers rounding. */
const KERNEL_TICK_MS = 20;
/** ext3, ext4 with 128-byte inodes, HFS+ and old versions of XFS store whole seconds. */
const SECOND_MS = 1000;
/** FAT stores even seconds. */
const FAT_TICK_MS = 2000;
const FAT_MAGIC = 0x4d44;
/** A file that is still changing after this long is being written to. */
const LONGEST_WAIT_MS = FAT_TICK_MS + KERNEL_TICK_MS;

/** Tells the time and waits, both in milliseconds. */
interface WaitingClock {
  now(): number;
  wait(ms: number): Promise<unknown>;
}

const SYSTEM_CLOCK: WaitingClock = { now: () => Date.now(), wait: (ms) => delay(ms) };

/** The times of a file, and the milliseconds until a later write had to change them. */
interface SettledTimes {
  readonly stats: BigIntStats;
  readonly waitedMs: number;
}

/**
 * Call it before the first read. It does not wait for a file that last changed longer ago than one step.
 * @param descriptor of a regular file
 * @param name of the file, for messages and to find out the kind of its file system
 * @param clock counts from the epoch, as the file's times do; tests replace it
 * @returns the times to compare with after the last read
 * @throws Qcow2cError ERR_SOURCE_CHANGED when the file changes again and again meanwhile; the system's error
 */
export async function settleTimes(
  descriptor: number,
  name: string,
  clock: WaitingClock = SYSTEM_CLOCK,
): Promise<SettledTimes> {
  const start = clock.now();
  for (;;) {
    const stats = await promisify(fstat)(descriptor, { bigint: true });
    const now = clock.now();
    const wait = untilTickIsOver(stats, () => isFat(name), now);
    if (wait === 0) return { stats, waitedMs: now - start };
    if (now - start + wait > LONGEST_WAIT_MS) {
      const message = `${quoted(name)} is being written to: its time stamps keep changing`;
      throw new Qcow2cError('ERR_SOURCE_CHANGED', message, { file: name });
    }
    await clock.wait(wait);
  }
}

/**
 * @param isFatFile called only if the answer matters
 * @param now milliseconds since the epoch
 * @returns milliseconds for which a write could still leave the file's times unchanged
 */
export function untilTickIsOver(
  { ctimeNs }: Pick<BigIntStats, 'ctimeNs'>,
  isFatFile: () => boolean,
  now: number,
): number {
  const hasFractions = ctimeNs % 1_000_000_000n !== 0n;
  // A finer clock shows whole seconds by chance, once in a billion files; then the wait is longer than needed.
  const tick = hasFractions ? 0 : isFatFile() ? FAT_TICK_MS : SECOND_MS;
  const step = tick + KERNEL_TICK_MS;
  const changed = Number(ctimeNs / 1_000_000n);
  // A time in the future comes from another machine, or the clock was set back. Then wait for one step at most.
  return Math.max(0, Math.min(changed + step - now, step));
}

function isFat(name: string): boolean {
  try {
    return statfsSync(name).type === FAT_MAGIC;
  } catch {
    return false;
  }
}
