/** Options that change how the work is done and not what comes of it; and refusals that come before any work. */
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { convertWithBoth, expectBothRefuse } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
beforeAll(async () => {
  await writeFile(raw, patchworkBytes(2 * 1024 * 1024 + 512));
  for (const format of ['raw', 'qcow2']) {
    await cliOk(['convert', '-f', 'raw', '-O', format, raw, path(`usual.${format}`)]);
  }
});

test.each<[string[]]>([
  [['-r', '1T']],
  [['--rate-limit', '1000000000', '-m', '3']],
  [['-C']],
  [['--copy-range-offloading', '-U']],
  [['--force-share', '-W']],
  [['-t', 'unsafe', '-T', 'none']],
  [['-t', 'directsync', '-T', 'directsync']],
  [['-t', 'writethrough', '--source-cache', 'writethrough']],
])('%j gives the disk and the image that are made without', async (flags) => {
  for (const format of ['raw', 'qcow2']) {
    const target = path(`out.${format}`);
    await cliOk(['convert', ...flags, '-f', 'raw', '-O', format, raw, target]);
    expect((await readFile(target)).equals(await readFile(path(`usual.${format}`)))).toBe(true);
  }
});

test('-r limits the writes of compressed images too', async () => {
  const [usual, limited] = [path('compressed.qcow2'), path('limited.qcow2')];
  await cliOk(['convert', '-c', raw, usual]);
  await cliOk(['convert', '-c', '-r', '10G', raw, limited]);
  expect((await readFile(limited)).equals(await readFile(usual))).toBe(true);
});

test('-C copies a raw disk as qemu-img does', async () => {
  const { ours, theirs } = await convertWithBoth(['-C', '-f', 'raw', '-O', 'raw'], [raw], path('copied'));
  expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true);
});

describe('refused in the words of qemu-img, before anything is made', () => {
  test.each<[string[], RegExp]>([
    [['-r', 'fast'], /Invalid rate limit specified\. You may use k, M, G, T, P or E suffixes for/],
    [['-r', '-1'], /Invalid rate limit specified/],
    [['-r', ''], /Invalid rate limit specified/],
    [['-C', '-c', '-O', 'qcow2'], /Cannot enable copy offloading when -c is used/],
    [['-C', '-S', '4k'], /Cannot enable copy offloading when -S is used/],
    [['-C', '--salvage'], /Cannot use copy offloading in salvaging mode/],
    [['-t', 'fast'], /Invalid cache option: fast/],
    [['-T', 'fast'], /Invalid source cache option: fast/],
    [['-O', 'qcow2', '-o', 'no_such_key=1'], /Invalid parameter 'no_such_key'/],
    [['-O', 'qcow2', '-o', 'cluster_size=1000'], /Cluster size must be a power of two/],
    [['-O', 'nothing'], /Unknown file format 'nothing'/],
    [['-f', 'nothing'], /Unknown driver 'nothing'/],
    [['-S', '1000'], /Invalid buffer size for sparse output specified/],
    [['-O', 'qcow2', '-o', ','], /Invalid option list: ,/],
  ])('%j', async (flags, words) => {
    await expectBothRefuse([...flags, raw], path('none'), words);
  });

  test.each<[string[], RegExp]>([
    [['--object', 'secret,id=x,data=y'], /--object is not supported: .*encrypted/],
    [['-O', 'vmdk'], /File format 'vmdk' is not supported/],
    [['-f', 'luks'], /Format 'luks' is not supported/],
  ])('%j, by name', async (flags, words) => {
    await expectFailure(path(''), ['convert', ...flags, raw, path('none')], words);
  });
});
