/**
 * `check -r` compared with `qemu-img check -r` on corrupted images: exit code, repaired findings and remaining ones.
 */
import { chmod, copyFile, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CORRUPT_IMAGES, type CorruptImage } from '../check/corrupt-images.js';
import { guestView } from '../check/guest-view.js';
import { run } from '../oracle/run.js';
import { sample } from '../stage.js';
import { ourCheck, theirCheck, type Verdict } from './check-beside-qemu-img.js';
import { cli, UNPRIVILEGED } from './cli.js';
import { useScratch } from './scratch.js';

const path = useScratch();

type Mode = 'leaks' | 'all';

/** The result of a repair: the exit code, and from its JSON the remaining and the repaired findings. */
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
  /** `as found`: the result of a check without repair; the image is unchanged. */
  readonly ours: Outcome | 'as found';
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
const OUTSIDE = 'qemu-img extends the file for a missing refcount block, then finds wrong refcounts';
const COMPRESSED = 'qemu-img leaves the flag, which has no meaning for a compressed cluster';
const UNREAD =
  'qemu-img frees and rebuilds without the references of a table that it reads as zeros, or at the wrong place';
const CUT = 'qemu-img finds nothing wrong where less than a cluster is missing';
const ALL: readonly Mode[] = ['all'];
const BOTH: readonly Mode[] = ['leaks', 'all'];

/** All images on which the two programs do not come to the same. */
const DIFFERENCES: Readonly<Record<string, Difference>> = {
  'refcounts/table entry unaligned': { modes: ALL, why: OVERLAPS, ours: sound(1) },
  'refcounts/table entry with reserved bits': { modes: ALL, why: OVERLAPS, ours: sound(1, 1) },
  'length/cut inside the refcount table': { modes: ALL, why: UNREAD, ours: 'as found' },
  'overlaps/L1 entry for the L1 table': { modes: ALL, why: OVERLAPS, ours: sound(6) },
  'L1/unaligned': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'L1/unaligned in a free entry': { modes: ALL, why: UNREAD, ours: 'as found' },
  'L1/past the end': { modes: ALL, why: UNREAD, ours: 'as found' },
  'L1/far past the end': { modes: ALL, why: UNREAD, ours: 'as found' },
  'L1/table past the end': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'snapshots/table past the end': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'snapshots/names past the end of the file': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'snapshots/L1 table unaligned': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'snapshots/L1 table past the end': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'snapshots/L1 table too large': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'snapshots/L1 entry unaligned': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'bitmaps/table past the end': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'bitmaps/directory past the end': { modes: BOTH, why: UNREAD, ours: 'as found' },
  'compressed/reaches past the end': { modes: BOTH, why: CUT, ours: 'as found' },
  'length/cut inside the last cluster': { modes: BOTH, why: CUT, ours: 'as found' },
  'L1/reserved bits without a table': { modes: ALL, why: OVERLAPS, ours: left(45, 3) },
  'L1/copied flag without a table': { modes: ALL, why: OVERLAPS, ours: left(44, 3) },
  'L1/size past the end of the file': { modes: ALL, why: UNREAD, ours: 'as found' },
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
};

/** The repaired entry is part of the disk or of a snapshot. */
const CHANGES_WHAT_IS_SEEN: Readonly<Record<string, string>> = {
  'overlaps/L2 entry for its own L2 table': 'a guest cluster is a table of the image',
  'overlaps/L2 entry for the other L2 table': 'a guest cluster is a table of the image',
  'overlaps/L2 entry for the L1 table': 'a guest cluster is a table of the image',
  'overlaps/L1 entry for the L1 table': 'a guest cluster is a table of the image',
  'snapshots/extra data far too large': 'a snapshot whose name cannot be found is dropped, as by qemu-img',
};

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

/** Whether the guest has the same of both, by qemu-img. @returns undefined when it cannot be read */
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
  const expected =
    difference?.ours === 'as found'
      ? outcomeOf(await ourCheck(before, { format: 'qcow2', output: 'json' }))
      : (difference?.ours ?? outcomeOf(theirVerdict));
  const found = outcomeOf(ourVerdict);
  expect(found).toEqual(expected);
  if (difference !== undefined) expect(found).not.toEqual(outcomeOf(theirVerdict));

  const isRepaired = found.corruptionsFixed + found.leaksFixed > 0;
  // The marks of a dirty or corrupt image go when it turns out to be sound.
  if (!isRepaired && (found.status === 1 || !name.startsWith('flags/'))) {
    expect((await readFile(ours)).equals(await readFile(before))).toBe(true);
    return;
  }
  expect((await theirCheck(ours, [])).status).toBe(found.status);
  if (name in CHANGES_WHAT_IS_SEEN) return;
  expect(guestView(await readFile(ours))).toEqual(guestView(await readFile(before)));
  expect(await isSameDisk(before, ours)).not.toBe(false);
}

describe.each(BOTH)('-r %s', (mode) => {
  const images = sample(CORRUPT_IMAGES, 12);
  // -r all repairs leaks too.
  const tested = mode === 'all' ? images : sample(images, 4);
  test.each(tested)('$name', async (image) => {
    await expectSameRepair(image, mode);
  });
});

describe('the built program', () => {
  const imageOf = async (name: string): Promise<string> => {
    const image = path('built.qcow2');
    await CORRUPT_IMAGES.find((corrupt) => corrupt.name === name)?.make(image);
    return image;
  };

  test('prints each finding that it repairs and the number of repairs, as qemu-img does', async () => {
    const image = await imageOf('refcounts/corrupt and leaked');
    await copyFile(image, path('theirs.qcow2'));
    const theirs = await run('qemu-img', ['check', '-r', 'all', path('theirs.qcow2')]);
    expect(await cli(['check', '-r', 'all', image])).toEqual(theirs);
    expect(await cli(['check', image])).toMatchObject({ status: 0, stderr: '' });
  });

  test('reports that it rebuilds the refcounts', async () => {
    const image = await imageOf('refcounts/refcount table of zeros');
    const { status, stdout, stderr } = await cli(['check', '-r', 'all', image]);
    expect(stderr).toMatch(/^ERROR cluster 0 refcount=0 reference=1$/m);
    expect(stderr).toMatch(/^Rebuilding refcount structure$/m);
    expect(stdout).toMatch(
      /^The following inconsistencies were found and repaired:\n\n {4}0 leaked clusters\n/,
    );
    expect(status).toBe(0);
  });

  test('refuses -r leaks when other repairs are needed, and names the option for them', async () => {
    const image = await imageOf('refcounts/zero for a used cluster');
    const before = await readFile(image);
    const { status, stdout, stderr } = await cli(['check', '-r', 'leaks', image]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^qcow2c: Check failed: .* 'qcow2c check -r all' repairs them\n$/m);
    expect((await readFile(image)).equals(before)).toBe(true);
  });

  test('refuses a read-only file before any other step', async () => {
    const image = await imageOf('refcounts/leaked cluster');
    await chmod(image, 0o444);
    const outcome = await cli(['check', '-r', 'all', image], { under: UNPRIVILEGED });
    expect(outcome).toMatchObject({ status: 1, stdout: '' });
    expect(outcome.stderr).toBe(`qcow2c: Could not open '${image}': Permission denied\n`);
    await chmod(image, 0o644);
  });

  test('refuses to repair an image that others may write to', async () => {
    const image = await imageOf('refcounts/leaked cluster');
    const outcome = await cli(['check', '-U', '-r', 'all', image]);
    expect(outcome).toMatchObject({ status: 1, stdout: '' });
    expect(outcome.stderr).toMatch(/force-share=on can only be used with read-only images/);
  });

  test('has no repair for a raw disk', async () => {
    const disk = path('disk.raw');
    await writeFile(disk, Buffer.alloc(65536, 7));
    expect(await cli(['check', '-f', 'raw', '-r', 'all', disk])).toMatchObject({ status: 63 });
    expect((await readFile(disk)).equals(Buffer.alloc(65536, 7))).toBe(true);
  });
});
