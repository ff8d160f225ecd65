import { writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { analyse } from '../../src/check/analysis.js';
import { check } from '../../src/check/check.js';
import { diskClusters, readCheckedImage } from '../../src/check/checked-image.js';
import type { Finding } from '../../src/check/findings.js';
import { imageInfo } from '../../src/info/info.js';
import { useScratch } from '../e2e/scratch.js';
import { baseImage } from './corrupt-bases.js';
import { HEADER, ImageBytes } from './corrupt-image-bytes.js';
import { SizedFile } from './sized-file.js';

async function base(): Promise<ImageBytes> {
  return new ImageBytes(await baseImage({}));
}

const scratch = useScratch();

const read = (image: ImageBytes) => readCheckedImage(new SizedFile(image.bytes));

test('values that can be repaired are accepted', async () => {
  const image = await base();
  image.setU64(HEADER.refcountTableOffset, 0n);
  image.setU32(HEADER.refcountTableClusters, 0);
  image.setU32(HEADER.snapshotCount, 0xffffffff);
  image.setU64(HEADER.snapshotsOffset, 2n ** 40n);
  expect((await read(image)).header).toMatchObject({
    refcountTableOffset: 0,
    refcountTableClusters: 0,
    snapshotCount: 0xffffffff,
    snapshotsOffset: 2 ** 40,
  });
});

test.each([
  ['an unaligned refcount table', HEADER.refcountTableOffset, 512n],
  ['a refcount table past what a number holds', HEADER.refcountTableOffset, 2n ** 60n],
  ['an unaligned snapshot table', HEADER.snapshotsOffset, 512n],
])('%s is refused', async (_, at, value) => {
  const image = await base();
  image.setU64(at, value);
  await expect(read(image)).rejects.toMatchObject({ code: 'ERR_CORRUPT', offset: at });
});

test('reads past the end of the file return zeros', async () => {
  const image = await base();
  const { file } = await read(image);
  const into = new Uint8Array(16).fill(9);
  expect(await file.read(image.bytes.length - 8, into)).toBe(16);
  expect([...into.subarray(8)]).toEqual(Array(8).fill(0));
  into.fill(9);
  expect(await file.read(2 ** 50, into)).toBe(16);
  expect([...into]).toEqual(Array(16).fill(0));
});

test('a size that is not a multiple of a sector is rounded down', async () => {
  const image = await base();
  image.setU64(HEADER.virtualSize, BigInt(65536 + 511));
  expect(diskClusters(await read(image))).toBe(1);
  image.setU64(HEADER.virtualSize, BigInt(65536 + 512));
  expect(diskClusters(await read(image))).toBe(2);
});

describe('an image encrypted with LUKS', () => {
  /** Its LUKS header takes the two clusters at its end. */
  async function encrypted(): Promise<ImageBytes> {
    const image = await base();
    const offset = image.append(2, 1);
    image.setU32(32, 2);
    const at = image.u32(100);
    const extensions = Buffer.from(image.bytes.subarray(at, at + 1024));
    image.setU32(at, 0x0537be77);
    image.setU32(at + 4, 16);
    image.setU64(at + 8, BigInt(offset));
    image.setU64(at + 16, 65536n + 512n);
    extensions.copy(image.bytes, at + 24);
    return image;
  }

  test('has clusters for its LUKS header, which need refcounts', async () => {
    const image = await encrypted();
    const findings: Finding[] = [];
    const onFinding = (finding: Finding) => {
      findings.push(finding);
    };
    await analyse(await read(image), { onFinding });
    const first = image.clusters - 2;
    expect(findings).toEqual(
      [first, first + 1].map((cluster) => ({ kind: 'refcount', cluster, found: 0n, expected: 1 })),
    );
    for (const cluster of [first, first + 1]) image.setRefcount(cluster, 1);
    expect(await analyse(await read(image))).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
  });

  const POINTER = 112;
  test.each<[string, (image: ImageBytes) => void]>([
    ['nowhere', (image) => image.setU32(POINTER, 7)],
    ['in a pointer that is too long', (image) => image.setU32(POINTER + 4, 24)],
    ['at an offset that is not aligned', (image) => image.edit(POINTER + 8, (offset) => offset + 512n)],
    ['with fewer bytes than it has', (image) => image.setU64(POINTER + 16, 591n)],
  ])('is refused by check and info in the same words if it names its LUKS header %s', async (_, damage) => {
    const image = await encrypted();
    damage(image);
    const path = scratch('luks.qcow2');
    await writeFile(path, image.bytes);
    const refusals = await Promise.all(
      [check({ image: path }), imageInfo({ image: path })].map((run) => run.catch((error) => error)),
    );
    expect(refusals[0]).toMatchObject({
      code: 'ERR_CORRUPT',
      message: expect.stringMatching(/LUKS|encryption/),
    });
    expect(refusals[1]).toMatchObject({ code: 'ERR_CORRUPT', message: refusals[0].message });
  });
});
