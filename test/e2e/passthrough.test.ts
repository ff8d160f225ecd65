/** Payloads of a compressed source go into a compressed target as they are, once they were found to be good. */
import { copyFile, open, readFile, writeFile } from 'node:fs/promises';
import { deflateRawSync } from 'node:zlib';
import { beforeAll, describe, expect, test } from 'vitest';
import * as qemuImg from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { cli, cliOk } from './cli.js';
import { type ClusterPlace, clusterPlaces } from './cluster-places.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const target = path('target.qcow2');
const CLUSTER = 65_536;
/** The disk ends inside its last cluster; two clusters of zeros are not stored. */
const DISK = 30 * CLUSTER + 9728;
const STORED = 29;
const TYPES = ['zlib', 'zstd'] as const;
const sourceOf = (maker: string, type: string) => path(`${maker}-${type}.qcow2`);

beforeAll(async () => {
  const bytes = Buffer.from(textBytes(DISK));
  bytes.fill(0, 7 * CLUSTER, 9 * CLUSTER);
  await writeFile(raw, bytes);
  await Promise.all(
    TYPES.flatMap((type) => [
      qemuImg.convert(['-c', '-o', `compression_type=${type}`], [raw], sourceOf('qemu-img', type)),
      // Not the default level, so that compressing anew would show.
      cliOk([
        'convert',
        '-c',
        '-o',
        `compression_type=${type},compression_level=9`,
        raw,
        sourceOf('qcow2c', type),
      ]),
    ]),
  );
});

/** Converts with -v. @returns how many clusters were compressed, and how many of them copied */
async function convertAndCount(flags: readonly string[], source: string): Promise<[number, number]> {
  const { status, stderr } = await cli(['convert', '-v', '-c', ...flags, source, target]);
  expect([status, stderr]).toEqual([0, expect.stringContaining('Clusters: ')]);
  const found = /^Clusters: (\d+) compressed(?: \((\d+) copied\))?, /m.exec(stderr);
  return [Number(found?.[1]), Number(found?.[2] ?? 0)];
}

/**
 * Expects each payload of the target but the last to be the source's. The target's payloads follow each other, so the
 * start of the next one gives the length.
 */
async function expectSamePayloads(source: string): Promise<void> {
  const [theirs, ours] = [await readFile(source), await readFile(target)];
  const places = new Map((await clusterPlaces(source)).map((place) => [place.guest, place]));
  const made = await clusterPlaces(target);
  expect(made.map(({ guest }) => guest)).toEqual([...places.keys()]);
  for (const [index, { from, guest, compressed }] of made.slice(0, -1).entries()) {
    const length = made[index + 1]!.from - from;
    const place = places.get(guest)!;
    expect([compressed, place.compressed]).toEqual([true, true]);
    expect(length).toBeGreaterThan(0);
    expect(place.from + length).toBeLessThanOrEqual(place.to);
    const payload = theirs.subarray(place.from, place.from + length);
    expect([guest, payload.equals(ours.subarray(from, from + length))]).toEqual([guest, true]);
  }
}

describe.each(shortened(TYPES, 1))('%s payloads', (type) => {
  const option = ['-o', `compression_type=${type}`];

  test.each(['qemu-img', 'qcow2c'])(
    'that %s made are copied, with any number of threads alike',
    async (maker) => {
      const source = sourceOf(maker, type);
      const made: Buffer[] = [];
      for (const threads of ['1', '5']) {
        expect(await convertAndCount([...option, '-m', threads], source)).toEqual([STORED, STORED]);
        made.push(await readFile(target));
      }
      expect(made[1]!.equals(made[0]!)).toBe(true);
      await expectSamePayloads(source);
      await expectGoodImage(target, raw);
    },
  );

  test('lose the trailing bytes that their descriptors cover', async () => {
    const source = path('trailing.qcow2');
    await copyFile(sourceOf('qemu-img', type), source);
    const bytes = await readFile(source);
    const oneSector = 1n << BigInt(62 - (16 - 8));
    for (const { l2EntryAt } of (await clusterPlaces(source)).slice(0, -1)) {
      bytes.writeBigUInt64BE(bytes.readBigUInt64BE(l2EntryAt) + 3n * oneSector, l2EntryAt);
    }
    await writeFile(source, bytes);
    expect(await convertAndCount(option, source)).toEqual([STORED, STORED]);
    await expectSamePayloads(source);
    await expectGoodImage(target, raw);
    // The same target as from the source that claims less.
    const made = await readFile(target);
    await convertAndCount(option, sourceOf('qemu-img', type));
    expect(made.equals(await readFile(target))).toBe(true);
  });

  test('of zeros are dropped, and copied with -S 0', async () => {
    const source = path('stored-zeros.qcow2');
    await qemuImg.convert(['-c', '-S', '0', ...option], [raw], source);
    const all = STORED + 2;
    expect((await clusterPlaces(source)).filter(({ compressed }) => compressed)).toHaveLength(all);
    expect(await convertAndCount(option, source)).toEqual([STORED, STORED]);
    await expectGoodImage(target, raw);
    expect(await convertAndCount([...option, '-S', '0'], source)).toEqual([all, all]);
    await expectSamePayloads(source);
    await expectGoodImage(target, raw);
  });

  test('that are damaged are an error', async () => {
    const source = path('damaged.qcow2');
    const place = await damage(source, sourceOf('qemu-img', type), ({ from }) => [
      from,
      Buffer.alloc(16, 0xff),
    ]);
    await refuses(source, place, option);
  });
});

describe('nothing is copied', () => {
  test.each(
    shortened(
      [
        ['with a level', ['-o', 'compression_level=1']],
        ['with a window', ['-o', 'compression_window_bits=12']],
        ['with --recompress', ['--recompress']],
        ['into smaller clusters', ['-o', 'cluster_size=32k']],
        ['into larger clusters', ['-o', 'cluster_size=128k']],
        ['into another compression type', ['-o', 'compression_type=zstd']],
      ] as const,
      1,
    ),
  )('%s', async (_, flags) => {
    const [compressed, copied] = await convertAndCount(flags, sourceOf('qcow2c', 'zlib'));
    expect(compressed).toBeGreaterThan(10);
    expect(copied).toBe(0);
    await expectGoodImage(target, raw);
  });
});

test('a payload that inflates to less than a cluster is an error', async () => {
  const source = path('other-length.qcow2');
  const payload = deflateRawSync(Buffer.alloc(CLUSTER - 1, 'short'));
  const place = await damage(source, sourceOf('qemu-img', 'zlib'), ({ from, to }) => {
    expect(payload.length).toBeLessThan(to - from);
    return [from, payload];
  });
  await refuses(source, place, []);
});

test('clusters that an overlay covers partly or completely are compressed, the others copied', async () => {
  const [base, overlay, merged] = [path('base.qcow2'), path('overlay.qcow2'), path('merged.raw')];
  await copyFile(sourceOf('qemu-img', 'zlib'), base);
  await qemuImg.create(overlay, DISK, ['-b', base, '-F', 'qcow2', '-o', 'cluster_size=4k']);
  await qemuIo(overlay, ['write -P 0x11 208k 4k', 'write -P 0x22 640k 64k', 'write -z 896k 4k']);
  await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', overlay, merged]);
  expect(await convertAndCount(['-f', 'qcow2'], overlay)).toEqual([STORED, STORED - 3]);
  await expectGoodImage(target, merged);
});

/** Writes other bytes over cluster 12 of a copy of `source`. @returns that cluster's place */
async function damage(
  image: string,
  source: string,
  patch: (place: ClusterPlace) => readonly [at: number, bytes: Buffer],
): Promise<ClusterPlace> {
  await copyFile(source, image);
  const place = (await clusterPlaces(image)).find(({ guest }) => guest === 12)!;
  const [at, bytes] = patch(place);
  const file = await open(image, 'r+');
  await file.write(bytes, 0, bytes.length, at);
  await file.close();
  return place;
}

/** Expects that the conversion fails without a target: when copying the payload, and when recompressing it. */
async function refuses(source: string, { from }: ClusterPlace, flags: readonly string[]): Promise<void> {
  const line = new RegExp(`guest offset ${12 * CLUSTER} .*\\(payload at offset ${from} of '${source}'\\)$`);
  for (const more of [[], ['--recompress']]) {
    await expectFailure(path(''), ['convert', '-c', ...flags, ...more, source, path('no.qcow2')], line);
  }
}
