/** -l: an internal snapshot instead of the image's present state, chosen as qemu-img does. */
import { readFile, writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { convertWithBoth, expectBothRefuse, expectSameGuest } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const source = path('source.qcow2');
const MIB = 1024 * 1024;

/** Four snapshots; the third one's name is the first one's identifier. */
const NAMES = ['first', 'second, with a comma', '1', 'snapshot.id'];

beforeAll(async () => {
  await create(source, 3 * MIB + 512);
  for (const [index, name] of NAMES.entries()) {
    await qemuIo(source, [
      `write -q -P ${index + 1} ${index * 300}k 200k`,
      `write -q -P ${index + 11} 2M 64k`,
    ]);
    await runOk('qemu-img', ['snapshot', '-c', name, source]);
  }
  await qemuIo(source, ['write -q -P 99 0 3M', 'discard -q 1M 512k']);
});

test.each([
  'first',
  '2',
  '1',
  'second, with a comma',
  'snapshot.id=1',
  'snapshot.id=3',
  'snapshot.name=1',
  'snapshot.name=first',
  'snapshot.name=second,, with a comma',
  'snapshot.id=2,snapshot.name=second,, with a comma',
])('-l %s reads the snapshot that qemu-img reads', async (selector) => {
  const args = ['-l', selector, '-f', 'qcow2', '-O', 'raw'];
  const { ours, theirs } = await convertWithBoth(args, [source], path('disk'));
  expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true);
  expect((await readFile(ours))[0]).toBe(1);
});

test('a snapshot becomes an image like any other', async () => {
  await runOk('qemu-img', ['convert', '-l', 'first', '-f', 'qcow2', '-O', 'raw', source, path('first.raw')]);
  for (const flags of [['-c'], [], ['-o', 'extended_l2=on']]) {
    await cliOk([
      'convert',
      '--snapshot',
      'first',
      ...flags,
      '-f',
      'qcow2',
      '-O',
      'qcow2',
      source,
      path('first.qcow2'),
    ]);
    await expectGoodImage(path('first.qcow2'), path('first.raw'));
  }
});

test.each([
  ['larger', ['9M']],
  ['smaller', ['--shrink', '2M']],
])('a snapshot of before the disk became %s has the present size, as in qemu-img', async (_, resize) => {
  const resized = path('resized.qcow2');
  const [size] = resize.slice(-1);
  await create(resized, 5 * MIB, ['-o', 'cluster_size=4k']);
  await qemuIo(resized, ['write -q -P 1 0 5M']);
  await runOk('qemu-img', ['snapshot', '-c', 'before', resized]);
  await runOk('qemu-img', ['resize', '-q', ...resize.slice(0, -1), resized, size!]);
  await qemuIo(resized, [`write -q -P 2 0 ${size}`]);
  const args = ['-l', 'before', '-f', 'qcow2', '-O', 'raw'];
  const { ours, theirs } = await convertWithBoth(args, [resized], path('resized'));
  expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true);
});

test('without -l the present state is read, and no snapshot is copied', async () => {
  const both = await convertWithBoth(['-f', 'qcow2', '-O', 'qcow2'], [source], path('present'));
  await expectSameGuest(both, 'qcow2');
  expect(await runOk('qemu-img', ['snapshot', '-l', both.ours])).toBe('');
});

test.each<[string, RegExp]>([
  ['third', /Failed to load snapshot: /],
  ['snapshot.id=9', /Failed to load snapshot/],
  ['snapshot.name=2', /Failed to load snapshot/],
  ['snapshot.id=1,snapshot.name=second', /Failed to load snapshot/],
  ['snapshot.size=1', /Failed in parsing snapshot param 'snapshot\.size=1'/],
])('-l %s is refused, in the words of qemu-img', async (selector, words) => {
  const args = ['-l', selector, '-f', 'qcow2', '-O', 'raw', source];
  await expectBothRefuse(args, path('none'), words);
});

test('a snapshot of several sources is refused, in the words of qemu-img, and so is one of a raw disk', async () => {
  const several = ['-l', 'first', '-f', 'qcow2', '-O', 'raw', source, source];
  await expectBothRefuse(several, path('none'), /No support for concatenating multiple snapshot/);
  await writeFile(path('disk.raw'), Buffer.alloc(MIB, 1));
  const raw = ['-l', 'first', '-f', 'raw', '-O', 'raw', path('disk.raw')];
  await expectBothRefuse(raw, path('none'), /Failed to load snapshot: /);
});

test('a damaged snapshot table is an error only where a snapshot is asked for', async () => {
  const damaged = path('damaged.qcow2');
  const bytes = await readFile(source);
  // l1_size of the first entry of the table that the header's bytes 64 to 71 lead to.
  bytes.writeUInt32BE(0xffffffff, Number(bytes.readBigUInt64BE(64)) + 8);
  await writeFile(damaged, bytes);
  const args = ['-f', 'qcow2', '-O', 'raw', damaged, path('damaged.raw')];
  await expectFailure(path(''), ['convert', '-l', 'first', ...args], /'.*damaged\.qcow2'/);
  await cliOk(['convert', ...args]);
});
