/** A real file system, judged by qemu-img, by 7-Zip and by the file system's own check. */
import { stat } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { convert } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { extract } from '../oracle/seven-zip.js';
import { longTest } from '../stage.js';
import { cliOk } from './cli.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { makeExt4Disk } from './source-images.js';

const path = useScratch();
const raw = path('ext4.raw');
beforeAll(() => makeExt4Disk(raw));

test('zlib: correct, not larger than qemu-img’s image, and 7-Zip reads it bit for bit without a warning', async () => {
  const image = path('zlib.qcow2');
  await cliOk(['convert', '-c', raw, image]);
  await expectGoodImage(image, raw);

  await convert(['-c'], [raw], path('theirs.qcow2'));
  expect((await stat(image)).size).toBeLessThanOrEqual((await stat(path('theirs.qcow2'))).size);

  const { ok, complaints, disk } = await extract(image, path('extracted'));
  expect({ ok, complaints }).toEqual({ ok: true, complaints: [] });
  await runOk('cmp', [raw, disk]);
  await runOk('e2fsck', ['-fn', disk]);
});

longTest('zstd: correct, and at most 1 % larger than qemu-img’s image', async () => {
  const image = path('zstd.qcow2');
  await cliOk(['convert', '-c', '-o', 'compression_type=zstd', raw, image]);
  await expectGoodImage(image, raw);

  await convert(['-c', '-o', 'compression_type=zstd'], [raw], path('theirs-zstd.qcow2'));
  expect((await stat(image)).size).toBeLessThanOrEqual((await stat(path('theirs-zstd.qcow2'))).size * 1.01);
});

longTest('normal clusters: correct, and not larger than qemu-img’s image', async () => {
  const image = path('normal.qcow2');
  await cliOk(['convert', '-O', 'qcow2', raw, image]);
  expect((await expectGoodImage(image, raw)).compressedClusters).toBe(0);

  // -S 0 does not matter here: both leave out clusters that hold nothing but zeros.
  await convert(['-S', '64k'], [raw], path('theirs-normal.qcow2'));
  expect((await stat(image)).size).toBeLessThanOrEqual((await stat(path('theirs-normal.qcow2'))).size);
});
