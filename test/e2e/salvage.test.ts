/** --salvage: exactly the unreadable ranges become zeros and are reported; without it no image is made. */
import { copyFile, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { constants, inflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import * as qemuImg from '../oracle/qemu-img.js';
import { shortened } from '../stage.js';
import { cli, injecting, ONE_THREAD } from './cli.js';
import { type ClusterPlace, clusterPlaces } from './cluster-places.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const target = path('target');
const MIB = 1024 * 1024;
const DISK = 3 * MIB + 512;
const bytes = textBytes(DISK);

beforeAll(async () => {
  await writeFile(raw, bytes);
  await Promise.all([
    qemuImg.convert(['-o', 'cluster_size=4k'], [raw], path('plain.qcow2')),
    qemuImg.convert(['-c', '-o', 'cluster_size=64k'], [raw], path('zlib.qcow2')),
    qemuImg.convert(['-c', '-o', 'cluster_size=64k,compression_type=zstd'], [raw], path('zstd.qcow2')),
  ]);
});

/** A guest range in bytes, `to` excluded. */
type Lost = readonly [from: number, to: number];

interface Damaged {
  readonly source: string;
  readonly lost: readonly Lost[];
  /** The place that the first report names. */
  readonly place: RegExp;
  /** A command to run qcow2c under. */
  readonly under?: readonly string[];
}

async function overwrite(image: string, at: number, patch: (old: Buffer) => Uint8Array): Promise<void> {
  const file = await open(image, 'r+');
  const old = Buffer.alloc(16);
  await file.read(old, 0, old.length, at);
  const made = patch(old);
  await file.write(made, 0, made.length, at);
  await file.close();
}

/** Bit 9 set in a table's entry: the offset is no longer that of a cluster. */
function unaligned(entry: Buffer): Buffer {
  const made = Buffer.from(entry.subarray(0, 8));
  made.writeBigUInt64BE(entry.readBigUInt64BE() | 0x200n);
  return made;
}

/** A copy of one of the sources, and where guest clusters are in it. */
async function copyOf(name: string): Promise<readonly [string, (guest: number) => ClusterPlace]> {
  const source = path('damaged.qcow2');
  await copyFile(path(name), source);
  const places = new Map((await clusterPlaces(source)).map((place) => [place.guest, place]));
  return [source, (guest) => places.get(guest)!];
}

async function corruptPayloads(name: string): Promise<Damaged> {
  const [source, place] = await copyOf(name);
  // The last cluster too, in which the disk ends.
  const guests = [3, 20, 48];
  for (const guest of guests) await overwrite(source, place(guest).from, () => Buffer.alloc(16, 0xff));
  return {
    source,
    lost: guests.map((guest) => [guest * 65_536, Math.min(DISK, (guest + 1) * 65_536)]),
    place: new RegExp(`payload at offset ${place(3).from} of '${source}'`),
  };
}

const DAMAGES: readonly (readonly [string, () => Promise<Damaged>])[] = [
  ['zlib payloads that do not inflate', () => corruptPayloads('zlib.qcow2')],
  ['zstd payloads that do not inflate', () => corruptPayloads('zstd.qcow2')],
  [
    'L2 entries with unaligned offsets',
    async () => {
      const [source, place] = await copyOf('plain.qcow2');
      for (const guest of [5, 300]) await overwrite(source, place(guest).l2EntryAt, unaligned);
      return {
        source,
        lost: [5, 300].map((guest) => [guest * 4096, (guest + 1) * 4096]),
        place: new RegExp(`'${source}'`),
      };
    },
  ],
  [
    'an L1 entry with an unaligned offset',
    async () => {
      const [source, place] = await copyOf('plain.qcow2');
      await overwrite(source, place(512).l1EntryAt, unaligned);
      return { source, lost: [[2 * MIB, DISK]], place: new RegExp(`'${source}'`) };
    },
  ],
  [
    'a file that ends before its last clusters',
    async () => {
      const [source, place] = await copyOf('plain.qcow2');
      await truncate(source, place(600).from);
      return {
        source,
        lost: [[600 * 4096, DISK]],
        place: new RegExp(`data lies at offset ${place(600).from}, past the end of '${source}'`),
      };
    },
  ],
  [
    'a file that ends inside a payload',
    async () => {
      const [source, place] = await copyOf('zlib.qcow2');
      // In its middle: the bytes inflated before the end stay, and missing parts of the file stay missing.
      const { from, to } = place(40);
      const end = Math.floor((from + to) / 2);
      const kept = inflateRawSync((await readFile(source)).subarray(from, end), {
        finishFlush: constants.Z_SYNC_FLUSH,
      }).length;
      expect(kept).toBeGreaterThan(10_000);
      await truncate(source, end);
      const rest = Array.from(
        { length: 8 },
        (_, n): Lost => [(41 + n) * 65_536, Math.min(DISK, (42 + n) * 65_536)],
      );
      return {
        source,
        lost: [[40 * 65_536 + kept, 41 * 65_536], ...rest],
        place: new RegExp(`payload at offset ${place(40).from} of '${source}'`),
      };
    },
  ],
  [
    'a block that the device cannot read',
    async () => {
      const source = path('block.raw');
      await writeFile(source, bytes.subarray(0, 40 * 1024));
      // The read of all ten blocks fails, and then that of the ninth alone.
      const under = injecting('pread64', 'error=EIO:when=1+9', ['-P', source]);
      return { source, lost: [[32 * 1024, 36 * 1024]], place: new RegExp(`'${source}'`), under };
    },
  ],
];

describe.each(DAMAGES)('%s', (_, make) => {
  const TARGETS = [
    ['raw', []],
    ['qcow2', ['-c']],
  ] as const;

  test.each(shortened(TARGETS, 1))('to %s', async (format, flags) => {
    const { source, lost, place, under } = await make();
    const stated = ['-f', source.endsWith('.raw') ? 'raw' : 'qcow2', '-m', '1'];
    const args = (...more: string[]) => [
      'convert',
      ...stated,
      ...more,
      '-O',
      format,
      ...flags,
      source,
      target,
    ];
    const options = under === undefined ? {} : { under, env: ONE_THREAD };

    await rm(target, { force: true });
    await expectFailure(path(''), args(), place, options);

    const expected = Buffer.from(await readFile(raw));
    for (const [from, to] of lost) expected.fill(0, from, to);
    const size = source.endsWith('.raw') ? 40 * 1024 : DISK;
    await writeFile(path('expected.raw'), expected.subarray(0, size));
    const { status, stdout, stderr } = await cli(args('--salvage'), options);
    expect([status, stdout]).toEqual([0, '']);
    if (format === 'qcow2') await expectGoodImage(target, path('expected.raw'));
    else expect((await readFile(target)).equals(expected.subarray(0, size))).toBe(true);
    const lines = stderr.trimEnd().split('\n');
    const total = lost.reduce((sum, [from, to]) => sum + to - from, 0);
    expect(lines.pop()).toBe(
      `qcow2c: warning: ${total} bytes in ${lost.length} place${lost.length > 1 ? 's' : ''} of '${target}' could not be read and were replaced with zeros`,
    );
    expect(lines).toEqual(
      lost.map(([from, to]) =>
        expect.stringMatching(
          `^qcow2c: warning: error while reading offset ${from}: .* \\(${to - from} bytes replaced with zeros\\)$`,
        ),
      ),
    );
    expect(lines[0]).toMatch(place);
  });
});

test('with -q no message is printed', async () => {
  const { source } = await corruptPayloads('zlib.qcow2');
  await rm(target, { force: true });
  expect(await cli(['convert', '--salvage', '-q', '-O', 'raw', '-f', 'qcow2', source, target])).toMatchObject(
    {
      status: 0,
      stdout: '',
      stderr: '',
    },
  );
});

test('a readable source gives the same bytes with --salvage, and no message', async () => {
  await rm(target, { force: true });
  const { status, stdout, stderr } = await cli(['convert', '--salvage', '-c', path('zlib.qcow2'), target]);
  expect([status, stdout, stderr]).toEqual([0, '', '']);
  const made = await readFile(target);
  await cli(['convert', '-c', path('zlib.qcow2'), target]);
  expect(made.equals(await readFile(target))).toBe(true);
});

test('a header that cannot be read is an error with --salvage too', async () => {
  const source = path('headless.qcow2');
  await copyFile(path('plain.qcow2'), source);
  await overwrite(source, 20, () => Buffer.from([0, 0, 0, 99]));
  const args = ['convert', '--salvage', '-f', 'qcow2', '-O', 'raw', source, path('no')];
  await expectFailure(path(''), args, /'.*headless\.qcow2'/);
});
