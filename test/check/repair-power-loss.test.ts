/**
 * The repair is cut off at every write, with the last one torn and unsynced writes lost. The remaining image must
 * be no worse than before, and a second repair must give the same result as an undisturbed one.
 */
import { createHash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { readCheckedImage } from '../../src/check/checked-image.js';
import { type RepairMode, repairImage } from '../../src/check/repair.js';
import { RepairFile } from '../../src/check/repair-file.js';
import { survey } from '../../src/check/repair-survey.js';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';
import { sample } from '../stage.js';
import { CORRUPT_IMAGES } from './corrupt-images.js';
import { dangerousFlags, guestView } from './guest-view.js';
import { HistoryFile, statesAfterPowerLoss } from './power-history.js';

const path = useScratch();

/** Images for `all`: each needs a different sequence of steps. */
const NAMES = [
  'refcounts/corrupt and leaked',
  'refcounts/zero for the header',
  'refcounts/zero for a refcount block',
  'refcounts/refcount block of ones',
  'refcounts/refcount table of zeros',
  'refcounts/table entry unaligned',
  'refcounts/two table entries for one block',
  'refcounts/table entry names an L2 table',
  'refcounts/further table entry past the end of the file',
  'refcounts/many blocks: wrong in several',
  'refcounts/many blocks: one is zero',
  'refcounts/1 bits: zero for a used cluster',
  'refcounts/4 bits: zero for a used cluster',
  'refcounts/64 bits: zero for a used cluster',
  'refcounts/clusters of 512: zero for a used cluster',
  'copied/missing everywhere',
  'copied/set with refcount 2',
  'copied/set for two compressed clusters',
  'overlaps/two L2 entries for one cluster',
  'overlaps/L2 entry for a cluster of payloads',
  'overlaps/L1 entry for a data cluster of zeros',
  'overlaps/the refcount table in a data cluster',
  'overlaps/two L1 entries for one L2 table',
  'L2/two zero clusters unaligned',
  'L2/data cluster past the end',
  'L2/small table of noise',
  'extended L2/zero cluster unaligned',
  'snapshots/all lost',
  'snapshots/no extra data',
  'snapshots/extra data too large',
  'snapshots/leaked and too low, clusters of 512',
  'bitmaps/refcount of the bits zero',
  'flags/dirty and refcounts zero',
  'flags/corrupt and refcounts too low',
  'header/refcount table of no clusters',
  'header/refcount table larger than it is',
];

interface Harm {
  /** Corruptions except copied flags, which are judged by the references to a cluster, not by its refcount. */
  readonly corruptions: number;
  /** Of these, clusters that could be allocated although they are in use. */
  readonly tooLow: number;
  /** Whether refcounts cannot be read. */
  readonly isUnreadable: boolean;
  readonly dangerousFlags: number;
}

/** @returns undefined when the image cannot be checked to its end */
async function harmOf(image: Buffer): Promise<Harm | undefined> {
  try {
    const { corruptions, tooLow, totals } = await survey(
      await readCheckedImage(new RepairFile(new HistoryFile(image), image.length)),
    );
    return {
      corruptions,
      tooLow,
      isUnreadable: totals.checkErrors > 0,
      dangerousFlags: dangerousFlags(image),
    };
  } catch {
    return undefined;
  }
}

async function repaired(image: Buffer, mode: RepairMode): Promise<HistoryFile> {
  const file = new HistoryFile(image);
  await repairImage(new RepairFile(file, image.length), mode);
  return file;
}

async function imageOf(name: string): Promise<Buffer> {
  const found = CORRUPT_IMAGES.find((image) => image.name === name);
  if (found === undefined) throw new Error(`there is no image ${name}`);
  const file = path('image.qcow2');
  await found.make(file);
  const bytes = await readFile(file);
  await rm(file);
  return bytes;
}

async function qemuVerdict(image: Buffer): Promise<number | null> {
  const file = path('judged.qcow2');
  await writeFile(file, image);
  return (await run('qemu-img', ['check', file])).status;
}

/** Every state that differs from those before it. */
function* distinctStates(before: Buffer, steps: HistoryFile['steps']): Generator<Buffer> {
  const seen = new Set<string>();
  for (const state of statesAfterPowerLoss(before, steps)) {
    const key = createHash('sha1').update(state).digest('hex');
    if (seen.has(key)) continue;
    seen.add(key);
    yield state;
  }
}

describe.each(['leaks', 'all'] as const)('a power failure while %s are repaired', (mode) => {
  test.each(sample(NAMES, 6))('leaves it no worse: %s', async (name) => {
    const before = await imageOf(name);
    const harmBefore = await harmOf(before);
    const guestBefore = guestView(before);
    const whole = new HistoryFile(before);
    try {
      await repairImage(new RepairFile(whole, before.length), mode);
    } catch (error) {
      // If leaks are not the only fault, nothing is written.
      expect(mode).toBe('leaks');
      expect(error).toMatchObject({ code: 'ERR_CORRUPT' });
      expect(whole.steps).toEqual([]);
      return;
    }
    const goal = await repaired(whole.bytes, 'all');
    const goalHarm = await harmOf(goal.bytes);
    const verdict = await qemuVerdict(goal.bytes);
    expect(guestView(goal.bytes)).toEqual(guestBefore);

    let count = 0;
    for (const state of distinctStates(before, whole.steps)) {
      const harm = await harmOf(state);
      if (harmBefore !== undefined) {
        expect(harm).toBeDefined();
        expect(harm?.corruptions).toBeLessThanOrEqual(harmBefore.corruptions);
        expect(harm?.tooLow).toBeLessThanOrEqual(harmBefore.tooLow);
        expect(harm?.isUnreadable && !harmBefore.isUnreadable).toBe(false);
        expect(harm?.dangerousFlags).toBeLessThanOrEqual(harmBefore.dangerousFlags);
      }
      expect(guestView(state)).toEqual(guestBefore);
      const again = await repaired(state, 'all');
      expect(await harmOf(again.bytes)).toEqual(goalHarm);
      expect(guestView(again.bytes)).toEqual(guestBefore);
      if (count % 9 === 0) expect(await qemuVerdict(again.bytes)).toBe(verdict);
      count += 1;
    }
    expect(count).toBeGreaterThan(0);
  });
});
