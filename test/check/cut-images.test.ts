/**
 * Images whose file has lost its end, at every length that loses some part: the missing part is a
 * corruption, and no repair frees clusters that a missing table may refer to, or hides the loss.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { analyse } from '../../src/check/analysis.js';
import { readCheckedImage } from '../../src/check/checked-image.js';
import type { Finding } from '../../src/check/findings.js';
import { type RepairMode, repairImage } from '../../src/check/repair.js';
import { RepairFile } from '../../src/check/repair-file.js';
import { cliOk } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';
import { sample } from '../stage.js';
import { type Base, baseImage } from './corrupt-bases.js';
import { ImageBytes } from './corrupt-image-bytes.js';
import { guestView } from './guest-view.js';
import { placesOf } from './image-places.js';
import { HistoryFile } from './power-history.js';
import { SizedFile } from './sized-file.js';

const path = useScratch();

const TABLES_OF_REFERENCES = ['L1 table', 'L2 table', 'snapshot table', 'bitmap directory', 'bitmap table'];
const REFCOUNTS = ['refcount table', 'refcount block'];

const BASES: readonly Base[] = [
  {},
  { clusterSize: 512 },
  { clusterSize: 4096, version: 2 },
  { clusterSize: 16384, extendedL2: true },
  { clusterSize: 4096, with: 'snapshots' },
  { refcountBits: 32, with: 'bitmaps' },
  { clusterSize: 512, with: 'many refcount blocks', refcountBits: 64 },
];

/** Options of new images made by qcow2c, and by qemu-img. */
const CONVERTED: readonly (readonly string[])[] = [
  ['-c'],
  ['-c', '-o', 'compression_type=zstd,cluster_size=4k'],
  ['-o', 'cluster_size=2M'],
  ['-c', '-o', 'extended_l2=on,cluster_size=16k'],
  ['-c', '-o', 'compat=0.10,cluster_size=512'],
];

async function findingsIn(bytes: Buffer): Promise<Finding[]> {
  const findings: Finding[] = [];
  const image = await readCheckedImage(new SizedFile(bytes));
  await analyse(image, { onFinding: (finding) => void findings.push(finding) });
  return findings;
}

/** The parts that are reported as missing. */
async function missingIn(bytes: Buffer): Promise<string[]> {
  const found = new Set<string>();
  for (const finding of await findingsIn(bytes)) {
    if (finding.kind === 'past-end' || finding.kind === 'cut-short') found.add(finding.part);
    if (finding.kind === 'refcount-block-outside') found.add('refcount block');
  }
  return [...found];
}

/** Lengths at which a part loses its last byte, its first sector, half of it, or all. */
function lengthsOf(image: ImageBytes): number[] {
  const { clusterSize } = image;
  const lengths = new Set<number>();
  for (const { part, offset, length } of placesOf(image)) {
    const end = offset + length;
    const shortest = part === 'compressed cluster' ? Math.max(offset, end - 512) : end - 1;
    for (const at of [shortest, end - 512, offset + Math.floor(length / 2), offset, offset - 512]) {
      // The header, and the extensions behind it, must be there.
      if (at < image.bytes.length && at >= clusterSize) lengths.add(at);
    }
  }
  return [...lengths].sort((one, other) => other - one);
}

/** Most lengths of one image that are tried, spread evenly. */
const MOST_LENGTHS = 16;

async function expectCutsTold(image: ImageBytes): Promise<void> {
  const places = placesOf(image);
  const lengths = lengthsOf(image);
  const step = Math.ceil(lengths.length / MOST_LENGTHS);
  expect(await missingIn(image.bytes)).toEqual([]);
  expect(lengths.length).toBeGreaterThan(2);
  for (const length of lengths.filter((_, index) => index % step === 0)) {
    const bytes = Buffer.from(image.bytes.subarray(0, length));
    const lost = new Set(
      places.filter(({ offset, length: size }) => offset + size > length).map(({ part }) => part),
    );
    const missing = await missingIn(bytes);
    // A part is not reported if its table is lost too, nor a payload whose lost bytes were padding. The half of
    // an entry may point anywhere.
    if (length % 16 === 0) expect([...lost], `cut at ${length}`).toEqual(expect.arrayContaining(missing));
    const mustBeTold = [...lost].filter((part) => part !== 'compressed cluster');
    if (mustBeTold.length > 0) expect(missing, `cut at ${length}`).not.toEqual([]);
    for (const mode of ['leaks', 'all'] as const) await expectNothingGivenAway(bytes, missing, mode);
  }
}

async function expectNothingGivenAway(
  bytes: Buffer,
  missing: readonly string[],
  mode: RepairMode,
): Promise<void> {
  const file = new HistoryFile(bytes);
  let refusal: string | undefined;
  const onRefusal = (reason: string) => {
    refusal = reason;
  };
  const outcome = await repairImage(new RepairFile(file, bytes.length), mode, { onRefusal }).catch(
    (error: Error) => error,
  );
  const hasLostTables = TABLES_OF_REFERENCES.some((part) => missing.includes(part));
  const hasLostRefcounts = REFCOUNTS.some((part) => missing.includes(part));
  if (hasLostTables || (hasLostRefcounts && mode === 'leaks')) {
    expect(file.steps).toEqual([]);
    // Repairing leaks does not repair lost refcounts: that is an error, as with qemu-img.
    const reason = outcome instanceof Error ? outcome.message : refusal;
    expect(reason).toMatch(/was not repaired: |Check failed: /);
    return;
  }
  if (outcome instanceof Error) throw outcome;
  expect(guestView(file.bytes)).toEqual(guestView(bytes));
  const left = await missingIn(file.bytes);
  const lostData = ['data cluster', 'compressed cluster', 'bitmap cluster'].filter((part) =>
    missing.includes(part),
  );
  expect(left).toEqual(expect.arrayContaining(lostData));
}

describe('an image that has lost its end is corrupt, and no repair frees clusters in use', () => {
  test.each(sample(BASES, 3))('of qemu-img: %j', async (base) => {
    await expectCutsTold(new ImageBytes(await baseImage(base)));
  });

  beforeAll(async () => {
    const noise = randomBytes(120_000);
    await writeFile(
      path('disk.raw'),
      Buffer.concat([Buffer.alloc(80_000, 'text '), noise, Buffer.alloc(200_000, 7)]),
    );
  });

  test.each(sample(CONVERTED, 2))('of qcow2c convert and qemu-img convert: %s %s %s', async (...options) => {
    const args = [...options, '-f', 'raw', '-O', 'qcow2', path('disk.raw')];
    await cliOk(['convert', ...args, path('ours.qcow2')], { cwd: path('') });
    await runOk('qemu-img', ['convert', ...args, path('theirs.qcow2')]);
    for (const name of ['ours.qcow2', 'theirs.qcow2']) {
      await expectCutsTold(new ImageBytes(await readFile(path(name))));
    }
  });
});
