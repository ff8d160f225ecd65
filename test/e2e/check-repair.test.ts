/** `check -r` held against `qemu-img check -r` on corrupted images: exit code, what is repaired, and what is left. */
import { copyFile, readFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CORRUPT_IMAGES, type CorruptImage } from '../check/corrupt-images.js';
import { guestView } from '../check/guest-view.js';
import { run } from '../oracle/run.js';
import { ourCheck, theirCheck, type Verdict } from './check-beside-qemu-img.js';
import { useScratch } from './scratch.js';

const path = useScratch();

type Mode = 'leaks' | 'all';

/** What a repair came to: the exit code, and of its JSON what is left and what was repaired. */
interface Outcome {
  readonly status: number | null;
  readonly corruptions: number;
  readonly leaks: number;
  readonly corruptionsFixed: number;
  readonly leaksFixed: number;
}

interface Difference {
  readonly modes: readonly Mode[];
  readonly why: string;
  /** Without it: whatever `qemu-img check` says of the result is what it says after qemu-img's repair. */
  readonly ours?: Outcome;
}

const failed = { status: 1, corruptions: 0, leaks: 0, corruptionsFixed: 0, leaksFixed: 0 };
const sound = (corruptionsFixed: number, leaksFixed = 0) => ({
  ...failed,
  status: 0,
  corruptionsFixed,
  leaksFixed,
});
const left = (corruptions: number, corruptionsFixed: number, leaksFixed = 0) => {
  return { status: 2, corruptions, leaks: 0, corruptionsFixed, leaksFixed };
};

const OVERLAPS =
  'qemu-img gives up where its own tables overlap; new refcounts at the end of the file overlap nothing';
const OUTSIDE =
  'qemu-img makes the file longer for a refcount block that is not there, then finds its refcounts wrong';
const COMPRESSED = 'qemu-img leaves the flag, which says nothing of a compressed cluster';
const BITMAPS = 'qemu-img writes all bitmaps anew when it closes the image; a bitmap is not ours to guess';
const ALL: readonly Mode[] = ['all'];
const BOTH: readonly Mode[] = ['leaks', 'all'];

/** All images on which the two programs do not come to the same. */
const DIFFERENCES: Readonly<Record<string, Difference>> = {
  'refcounts/table entry unaligned': { modes: ALL, why: OVERLAPS, ours: sound(1) },
  'refcounts/table entry with reserved bits': { modes: ALL, why: OVERLAPS, ours: sound(1, 1) },
  'length/cut inside the refcount table': { modes: ALL, why: OVERLAPS, ours: left(1, 3) },
  'overlaps/L1 entry for the L1 table': { modes: ALL, why: OVERLAPS, ours: sound(6) },
  'L1/unaligned in a free entry': { modes: ALL, why: OVERLAPS, ours: left(1, 5) },
  'L1/reserved bits without a table': { modes: ALL, why: OVERLAPS, ours: left(45, 3) },
  'L1/copied flag without a table': { modes: ALL, why: OVERLAPS, ours: left(44, 3) },
  'L1/size past the end of the file': {
    modes: ALL,
    why: OVERLAPS,
    ours: { ...left(23_224, 5), leaks: 1 },
  },
  'refcounts/table entry past the end of the file': { modes: ALL, why: OUTSIDE, ours: sound(14) },
  'refcounts/further table entry past the end of the file': { modes: ALL, why: OUTSIDE, ours: sound(1) },
  'copied/set for a compressed cluster': { modes: ALL, why: COMPRESSED, ours: sound(1) },
  'copied/set for two compressed clusters': { modes: ALL, why: COMPRESSED, ours: sound(2) },
  'snapshots/compressed cluster of a snapshot copied': { modes: ALL, why: COMPRESSED, ours: sound(1) },
  'snapshots/too many': {
    modes: ALL,
    why: 'qemu-img gives up when the table that is cut to what it takes holds anything',
    ours: sound(65_535),
  },
  'snapshots/extra data far too large': {
    modes: ALL,
    why: 'qemu-img counts a snapshot twice that it drops because of its extra data',
    ours: sound(7, 15),
  },
  'bitmaps/table entry past the end': { modes: BOTH, why: BITMAPS, ours: left(1, 0, 1) },
  'bitmaps/table past the end': { modes: BOTH, why: BITMAPS, ours: left(1, 0, 3) },
};

/** The guest cluster is a table of the image: with the flag of an entry in it, it changes itself. */
const SHOWS_A_TABLE = new Set([
  'overlaps/L2 entry for its own L2 table',
  'overlaps/L2 entry for the other L2 table',
  'overlaps/L2 entry for the L1 table',
]);

function outcomeOf({ status, stdout }: Verdict): Outcome {
  if (!stdout.startsWith('{')) return { ...failed, status };
  const found = JSON.parse(stdout) as Record<string, number | undefined>;
  return {
    status,
    corruptions: found['corruptions'] ?? 0,
    leaks: found['leaks'] ?? 0,
    corruptionsFixed: found['corruptions-fixed'] ?? 0,
    leaksFixed: found['leaks-fixed'] ?? 0,
  };
}

/** What the guest has of an image, by qemu-img. @returns undefined when it cannot be read */
async function isSameDisk(before: string, after: string): Promise<boolean | undefined> {
  const args = ['compare', '-U', '-f', 'qcow2', '-F', 'qcow2', basename(before), basename(after)];
  const { status } = await run('qemu-img', args, { cwd: dirname(before) });
  return status === null || status > 1 ? undefined : status === 0;
}

async function expectSameRepair({ name, make }: CorruptImage, mode: Mode): Promise<void> {
  const [before, ours, theirs] = [
    path(`${mode}.qcow2`),
    path(`${mode}-ours.qcow2`),
    path(`${mode}-theirs.qcow2`),
  ];
  await make(before);
  await Promise.all([copyFile(before, ours), copyFile(before, theirs)]);
  const [ourVerdict, theirVerdict] = await Promise.all([
    ourCheck(ours, { format: 'qcow2', repair: mode, output: 'json' }),
    theirCheck(theirs, ['-f', 'qcow2', '-r', mode, '--output=json']),
  ]);
  const difference = DIFFERENCES[name]?.modes.includes(mode) ? DIFFERENCES[name] : undefined;
  const expected = difference?.ours ?? outcomeOf(theirVerdict);
  const found = outcomeOf(ourVerdict);
  expect(found).toEqual(expected);
  if (difference !== undefined) expect(found).not.toEqual(outcomeOf(theirVerdict));

  const judged = await theirCheck(ours, []);
  if (found.status !== 1) expect(judged.status).toBe(found.status);
  else expect((await readFile(ours)).equals(await readFile(before))).toBe(true);
  if (SHOWS_A_TABLE.has(name)) return;
  expect(guestView(await readFile(ours))).toEqual(guestView(await readFile(before)));
  if (found.corruptionsFixed + found.leaksFixed > 0) expect(await isSameDisk(before, ours)).not.toBe(false);
}

describe.each(BOTH)('-r %s', (mode) => {
  test.each(CORRUPT_IMAGES)('$name', async (image) => {
    await expectSameRepair(image, mode);
  });
});
