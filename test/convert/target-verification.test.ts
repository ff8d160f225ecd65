/** A target that is wrong on the disk is detected before it is renamed, for every kind of source. */
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { appendFile, copyFile, rm, truncate, writeFile } from 'node:fs/promises';
import { basename } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { openTarget } from '../../src/storage/open-target.js';
import type { Progress } from '../../src/workers/progress.js';
import { clusterPlaces } from '../e2e/cluster-places.js';
import { useScratch } from '../e2e/scratch.js';
import { makeHoles, namesBeside, randomBytes, textBytes } from '../e2e/source-images.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { shortened, tries } from '../stage.js';
import { convertHere } from './built-worker.js';
import { type Flip, flippingTarget } from './flipping-target.js';
import { openFiles } from './open-files.js';

const path = useScratch();
const raw = path('source.raw');
const target = path('target.img');
const CLUSTER = 65_536;
const MIB = 1024 * 1024;
// Text, noise, a hole, and text again with an odd end; more than one item.
const bytes = Buffer.concat([
  textBytes(4 * CLUSTER),
  randomBytes(2 * CLUSTER),
  Buffer.alloc(3 * MIB),
  textBytes(3 * CLUSTER - 1536),
]);

beforeAll(async () => {
  await makeHoles(raw, bytes);
  await qemuImg.convert(['-c'], [raw], path('base.qcow2'));
  await qemuImg.create(path('overlay.qcow2'), bytes.length, ['-b', 'base.qcow2', '-F', 'qcow2']);
  await runOk('qemu-io', ['-c', 'write -P 7 1M 200k', '-c', 'write -z 64k 64k', path('overlay.qcow2')]);
  await copyFile(path('overlay.qcow2'), path('snapshots.qcow2'));
  await runOk('qemu-img', ['snapshot', '-c', 'then', path('snapshots.qcow2')]);
  await runOk('qemu-io', ['-c', 'write -P 9 0 300k', path('snapshots.qcow2')]);
});
afterEach(async () => {
  for (const name of [target, path('target.dat')]) await rm(name, { force: true });
});

type Setting = Partial<Omit<ConvertOptions, 'target'>>;

function verified(setting: Setting, flip?: Flip, ending?: string) {
  return convertHere(
    { sources: [raw], sourceFormat: 'raw', threads: 2, engine: 'node', ...setting, target, verify: true },
    flip === undefined ? {} : { openTarget: flippingTarget(flip, ending) },
  );
}

async function failureOf(run: Promise<unknown>) {
  return run.then(
    () => undefined,
    (error) => error,
  );
}

/** Where the tables and clusters are in the image that this conversion makes: it is deterministic. */
function placesOf(setting: Setting): ReturnType<typeof findPlaces> {
  const key = JSON.stringify(setting);
  const places = knownPlaces.get(key) ?? findPlaces(setting);
  knownPlaces.set(key, places);
  return places;
}
const knownPlaces = new Map<string, ReturnType<typeof findPlaces>>();

async function findPlaces(setting: Setting) {
  await verified(setting);
  const image = readFileSync(target);
  const l1 = Number(image.readBigUInt64BE(40));
  const l2 = Number(image.readBigUInt64BE(l1) & 0x00fffffffffffe00n);
  const places = await clusterPlaces(target);
  await rm(target);
  return { l1, l2, refcounts: Number(image.readBigUInt64BE(48)), places };
}

describe('a bit flipped on the way to the disk', () => {
  test.each<readonly [string, Setting, (places: Awaited<ReturnType<typeof placesOf>>) => Flip]>([
    [
      'in a normal cluster',
      {},
      ({ places }) => ({ offset: places.find(({ guest }) => guest === 5)!.from + 777, bit: 3 }),
    ],
    [
      'in a payload',
      { compress: true },
      ({ places }) => ({ offset: places.find(({ guest }) => guest === 2)!.from + 40, bit: 0 }),
    ],
    ['in an L2 entry of a normal cluster', {}, ({ l2 }) => ({ offset: l2 + 5, bit: 0 })],
    ['in an L2 entry of a payload', { compress: true }, ({ l2 }) => ({ offset: l2 + 7, bit: 2 })],
    ['in an L2 entry of zeros', {}, ({ l2 }) => ({ offset: l2 + 20 * 8 + 5, bit: 0 })],
    ['in an L1 entry', { compress: true }, ({ l1 }) => ({ offset: l1 + 5, bit: 0 })],
    ["in the header's magic", {}, () => ({ offset: 1, bit: 5 })],
    ["in the header's size", { compress: true }, () => ({ offset: 24 + 5, bit: 1 })],
    ["in the header's L1 offset", { compress: true }, () => ({ offset: 40 + 5, bit: 2 })],
    ["in the header's compression type", { compress: true }, () => ({ offset: 104, bit: 0 })],
    [
      "in the backing file's name",
      { create: { backingFile: 'base.qcow2', backingFormat: 'qcow2' } },
      () => ({ offset: -1, bit: 0 }),
    ],
  ])('%s is detected, and no file is left', async (_, setting, place) => {
    const places = await placesOf(setting);
    let flip = place(places);
    if (flip.offset < 0) {
      await verified(setting);
      flip = { offset: readFileSync(target).indexOf('base.qcow2') + 2, bit: 0 };
      await rm(target);
    }
    const before = await namesBeside(target);
    const error = await failureOf(verified(setting, flip));
    expect(error).toMatchObject({ code: 'ERR_CORRUPT', file: target, expected: `the content of '${raw}'` });
    expect(error.message).toMatch(
      /^'.*target\.img' was read back and does not hold the content of '.*source\.raw': at guest offset \d+ /,
    );
    expect(error.message).not.toContain('.tmp');
    expect(await namesBeside(target)).toEqual(before);
  });

  test('leaves the source as good as before', async () => {
    await failureOf(verified({}, { offset: 1, bit: 5 }));
    expect(await verified({})).toMatchObject({ verifiedFrom: expect.any(String) });
  });

  test('is detected wherever a guest can see it', async () => {
    await verified({ compress: true });
    const { length } = readFileSync(target);
    await rm(target);
    const anywhere = fc.oneof(
      fc.nat(length - 1),
      fc.nat(200),
      fc.integer({ min: length - 66_000, max: length - 1 }),
    );
    await fc.assert(
      fc.asyncProperty(anywhere, fc.nat(7), async (offset, bit) => {
        const error = await failureOf(verified({ compress: true }, { offset, bit }));
        if (error === undefined) {
          expect(await qemuImg.difference(raw, target)).toBeUndefined();
        } else {
          expect(error).toMatchObject({ code: 'ERR_CORRUPT', file: target });
          expect(await namesBeside(target)).not.toContain(basename(target));
        }
        await rm(target, { force: true });
      }),
      { numRuns: tries(20) },
    );
  });

  test("is reported with the guest's sector", async () => {
    const { places } = await placesOf({});
    const { from } = places.find(({ guest }) => guest === 5)!;
    const error = await failureOf(verified({}, { offset: from + 777, bit: 7 }));
    expect(error).toMatchObject({ code: 'ERR_CORRUPT', guestOffset: 5 * CLUSTER + 512 });
    expect(error.message).toContain('the sector differs from the source');
  });
});

describe('with a bitmap', () => {
  const disk = path('with-bitmap.qcow2');
  const setting: Setting = {
    sources: [disk],
    sourceFormat: 'qcow2',
    bitmap: 'changes',
    create: { backingFile: 'base.qcow2', backingFormat: 'qcow2' },
  };
  const CHANGED = 17;
  beforeAll(async () => {
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, disk]);
    await runOk('qemu-img', ['bitmap', '--add', '-g', '64k', disk, 'changes']);
    await runOk('qemu-io', ['-c', `write -P 7 ${CHANGED * CLUSTER} 64k`, disk]);
  });

  test('a cluster that the bitmap lists must have the bytes of the source', async () => {
    const { places } = await placesOf(setting);
    expect(places.map(({ guest }) => guest)).toEqual([CHANGED]);
    const flip = { offset: places[0]!.from + 600, bit: 4 };
    const error = await failureOf(verified(setting, flip));
    expect(error).toMatchObject({ code: 'ERR_CORRUPT', guestOffset: CHANGED * CLUSTER + 512 });
  });

  test('no other cluster may be stored', async () => {
    const { l2 } = await placesOf(setting);
    // The lowest bit of an entry makes it a zero cluster.
    const error = await failureOf(verified(setting, { offset: l2 + 3 * 8 + 7, bit: 0 }));
    expect(error).toMatchObject({ code: 'ERR_CORRUPT', guestOffset: 3 * CLUSTER });
    expect(error.message).toContain('it stores a cluster that has not changed');
  });

  test('the result says which part was compared', async () => {
    expect(await verified(setting)).toMatchObject({ verifiedFrom: 'device', verifiedPart: 'changes' });
    const { bitmap: _, ...whole } = setting;
    expect(await verified(whole)).toMatchObject({ verifiedFrom: 'device', verifiedPart: 'disk' });
  });
});

test.each(
  shortened<readonly [string, Setting, Flip | 'guest cluster 17', string]>(
    [
      ['a raw disk', { targetFormat: 'raw' }, { offset: 100_000, bit: 1 }, ''],
      [
        'an external data file',
        { create: { dataFile: path('target.dat') } },
        { offset: 70_000, bit: 1 },
        '.dat',
      ],
      [
        'an overlay',
        {
          sources: [path('overlay.qcow2')],
          sourceFormat: 'qcow2',
          create: { backingFile: 'base.qcow2', backingFormat: 'qcow2' },
        },
        'guest cluster 17',
        '',
      ],
      [
        'a snapshot',
        {
          sources: [path('snapshots.qcow2')],
          sourceFormat: 'qcow2',
          snapshot: { name: 'then' },
          targetFormat: 'raw',
        },
        { offset: MIB + 5, bit: 1 },
        '',
      ],
      [
        'several sources',
        { sources: [raw, raw], targetFormat: 'raw' },
        { offset: bytes.length + 5, bit: 1 },
        '',
      ],
    ],
    4,
  ),
)('%s is verified, and a flipped bit in it is detected', async (_, setting, place, ending) => {
  const result = await verified(setting);
  expect(result.verifiedFrom).toBe('device');
  const flip =
    typeof place === 'string'
      ? { offset: (await clusterPlaces(target)).find(({ guest }) => guest === 17)!.from + 9, bit: 1 }
      : place;
  for (const name of [target, path('target.dat')]) await rm(name, { force: true });
  const before = await namesBeside(target);
  expect(await failureOf(verified(setting, flip, ending))).toMatchObject({
    code: 'ERR_CORRUPT',
    file: target,
  });
  expect(await namesBeside(target)).toEqual(before);
});

/** Changes the target behind its writer's back, once everything is on the disk. */
function spoiling(spoil: (file: string) => void | Promise<void>): typeof openTarget {
  return async (name, mode, inPlace) => {
    const opened = await openTarget(name, mode, inPlace);
    const seal = async (length: number) => {
      await opened.seal(length);
      await spoil(opened.path);
    };
    return { ...opened, seal };
  };
}

function writeByte(file: string, at: number): void {
  const descriptor = openSync(file, 'r+');
  writeSync(descriptor, Buffer.from([1]), 0, 1, at);
  closeSync(descriptor);
}

test.each<readonly [string, (file: string) => void | Promise<void>]>([
  ['a byte in a hole', (file) => writeByte(file, 2 * MIB)],
  ['a truncated file', (file) => truncate(file, 5000)],
  ['a longer file', (file) => appendFile(file, Buffer.alloc(512))],
])('%s of a raw disk is detected', async (_, spoil) => {
  const run = convertHere(
    { sources: [raw], sourceFormat: 'raw', target, targetFormat: 'raw', verify: true },
    { openTarget: spoiling(spoil) },
  );
  expect(await failureOf(run)).toMatchObject({ code: 'ERR_CORRUPT', file: target });
  expect(await namesBeside(target)).not.toContain(basename(target));
});

test.each([
  ['a qcow2 image', 'qcow2'],
  ['a raw disk', 'raw'],
] as const)('%s that is written in place is kept and reported as wrong', async (_, targetFormat) => {
  const make = () =>
    targetFormat === 'raw'
      ? writeFile(target, Buffer.alloc(bytes.length + 4096, 1))
      : qemuImg.create(target, 2 * bytes.length);
  await make();
  await verified({ keepTarget: true, targetFormat });
  const length = readFileSync(target).indexOf(bytes.subarray(4 * CLUSTER, 5 * CLUSTER));
  await make();
  const error = await failureOf(verified({ keepTarget: true, targetFormat }, { offset: length + 1, bit: 6 }));
  expect(error).toMatchObject({ code: 'ERR_CORRUPT', guestOffset: 4 * CLUSTER });
  expect(error.message).toMatch(/; it was written in place, and is wrong now$/);
  if (targetFormat === 'qcow2') expect((await qemuImg.check(target)).corruptions).toBe(0);
});

describe('a stream', () => {
  async function streamed(setting: Setting, flip?: Flip) {
    const stream = openSync(raw, 'r');
    return verified({ sourceFormat: undefined, ...setting, sources: [{ stream, name: '-' }] }, flip);
  }

  test.each<readonly [string, Setting]>([
    ['compressed', { compress: true }],
    ['plain', {}],
    ['raw', { targetFormat: 'raw' }],
    ['over a backing file', { create: { backingFile: 'base.qcow2', backingFormat: 'qcow2' } }],
  ])('is verified by its digest (%s)', async (_, setting) => {
    expect((await streamed(setting)).verifiedFrom).toBe('device');
  });

  test('differs from a target with one flipped bit', async () => {
    const error = await failureOf(
      streamed({ targetFormat: 'raw' }, { offset: 2 * MIB + 2 * MIB - 300_000, bit: 0 }),
    );
    // That part is a hole, which is not written.
    expect(error).toBeUndefined();
    await rm(target);
    const found = await failureOf(streamed({ targetFormat: 'raw' }, { offset: bytes.length - 600, bit: 0 }));
    expect(found).toMatchObject({
      code: 'ERR_CORRUPT',
      file: target,
      guestOffset: 2 * MIB,
      expected: "the content of '-'",
    });
    expect(await namesBeside(target)).not.toContain(basename(target));
  });
});

test('zeros in place of unreadable ranges are expected with salvage', async () => {
  const damaged = path('damaged.qcow2');
  await copyFile(path('base.qcow2'), damaged);
  const place = (await clusterPlaces(damaged)).find(({ guest }) => guest === 1)!;
  for (let at = 0; at < 16; at += 1) writeByte(damaged, place.from + at);
  const setting = { sources: [damaged], sourceFormat: 'qcow2', salvage: true } as const;
  expect(await verified(setting)).toMatchObject({ unreadableBytes: CLUSTER, verifiedFrom: 'device' });
  await rm(target);
  const run = convertHere(
    { ...setting, target, targetFormat: 'raw', verify: true },
    { openTarget: spoiling((file) => writeByte(file, CLUSTER + 5)) },
  );
  expect(await failureOf(run)).toMatchObject({ code: 'ERR_CORRUPT', guestOffset: CLUSTER });
});

test('a source that changed during the run is reported as the error', async () => {
  const source = path('changing.raw');
  await copyFile(raw, source);
  const run = convertHere(
    { sources: [source], sourceFormat: 'raw', target, verify: true },
    { openTarget: spoiling(() => writeByte(source, 5)) },
  );
  expect(await failureOf(run)).toMatchObject({ code: 'ERR_SOURCE_CHANGED', file: source });
  expect(await namesBeside(target)).not.toContain(basename(target));
});

test('the progress never goes back, and each phase is one half', async () => {
  const seen: Progress[] = [];
  await verified({ compress: true, onProgress: (progress) => seen.push(progress) });
  const phases = seen.map(({ phase }) => phase);
  expect(phases.indexOf('verify')).toBe(phases.lastIndexOf('convert') + 1);
  for (const phase of ['convert', 'verify']) {
    const done = seen
      .filter((progress) => progress.phase === phase)
      .map(({ guestBytesDone }) => guestBytesDone);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(done.at(-1)).toBe(bytes.length);
  }
  const { dataBytes, storedBytes } = seen[phases.lastIndexOf('convert')]!;
  expect(seen.at(-1)).toMatchObject({ dataBytes, storedBytes });
});

test('a run aborted during verification leaves no file and no open descriptor', async () => {
  await verified({});
  await rm(target);
  const before = await namesBeside(target);
  const open = openFiles();
  const controller = new AbortController();
  const onProgress = ({ phase }: Progress) => {
    if (phase === 'verify') controller.abort();
  };
  const run = verified({ onProgress, signal: controller.signal });
  expect(await failureOf(run)).toMatchObject({ code: 'ERR_ABORTED' });
  expect(await namesBeside(target)).toEqual(before);
  expect(openFiles()).toBe(open);
});
