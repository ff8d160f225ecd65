/** Refusals that scripts rely on: their cause and words, before anything is created; and options accepted silently. */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EXTENSION_TYPES } from '../../src/qcow2/extension-list.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { run, runOk } from '../oracle/run.js';
import { convertWithBoth, expectBothRefuse, expectSameGuest } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';

const path = useScratch();
const KIB = 1024;
const DISK = 1000 * KIB;
const raw = path('disk.raw');
const qcow2 = path('disk.qcow2');
const none = path('none');

beforeAll(async () => {
  await writeFile(raw, patchworkBytes(DISK));
  await qemuImg.convert([], [raw], qcow2);
});

describe('by both programs, in the same words', () => {
  test.each<[string, RegExp]>([
    ['-f raw -O qcow2 -t fast disk.raw', /Invalid cache option: fast$/m],
    ['-f raw -O qcow2 -T fast disk.raw', /Invalid source cache option: fast$/m],
    ['-f raw -O qcow2 -o bogus=1 disk.raw', /Invalid parameter 'bogus'/],
    ['-f raw -O raw -o cluster_size=4k disk.raw', /Invalid parameter 'cluster_size'/],
    ['-f raw -O qcow2 -S 1000 disk.raw', /Invalid buffer size for sparse output specified/],
    ['-f raw -O qcow2 -r fast disk.raw', /Invalid rate limit specified/],
    ['-f raw -O qcow2 -B disk.raw disk.raw', /Use of backing file requires explicit backing format/],
    [
      '-f raw -O qcow2 -o backing_file=disk.raw disk.raw',
      /Use of backing file requires explicit backing format/,
    ],
    [
      '-f raw -O qcow2 -B disk.raw -F raw disk.raw disk.raw',
      /makes no sense when concatenating multiple input/,
    ],
    ['-f raw -O raw -c disk.raw', /Compression not supported for this file format$/m],
    ['-f raw -O raw -B disk.raw -F raw disk.raw', /Backing file not supported for file format 'raw'$/m],
    ['-f raw -O qcow2 -C -c disk.raw', /Cannot enable copy offloading when -c is used$/m],
    ['-f raw -O raw -C -S 4k disk.raw', /Cannot enable copy offloading when -S is used$/m],
    ['-f raw -O raw -C --salvage disk.raw', /Cannot use copy offloading in salvaging mode$/m],
    ['-f raw -O qcow2 --target-is-zero disk.raw', /--target-is-zero requires use of -n flag$/m],
    ['-f raw -O qcow2 --skip-broken-bitmaps disk.raw', /--skip-broken-bitmaps requires --bitmaps$/m],
    ['-f bogus -O qcow2 disk.raw', /Unknown driver 'bogus'/],
    ['-f raw -O bogus disk.raw', /Unknown file format 'bogus'/],
    ['-f raw -O qcow2 none.raw', /Could not open 'none\.raw': No such file or directory$/m],
    ['-f qcow2 -O qcow2 disk.raw', /'disk\.raw'.*not.* qcow2 (format|image)/],
    ['-f qcow2 -O raw -l none disk.qcow2', /snapshot/],
    ['-f raw -O raw -l none disk.raw', /snapshot/],
    ['-f raw -O raw bogus://disk.raw', /Could not open 'bogus:\/\/disk\.raw': Unknown protocol 'bogus'/],
  ])('%s', (words, line) => expectBothRefuse(words.split(' '), none, line, { cwd: path('') }));

  test('the error for a missing backing file names every image above it', async () => {
    await mkdir(path('chain'));
    const args = ['create', '-q', '-u', '-f', 'qcow2'];
    const cwd = path('chain');
    await runOk('qemu-img', [...args, '-b', 'gone.raw', '-F', 'raw', 'low.qcow2', '1M'], { cwd });
    await runOk('qemu-img', [...args, '-b', 'low.qcow2', '-F', 'qcow2', 'mid.qcow2', '1M'], { cwd });
    await runOk('qemu-img', [...args, '-b', 'mid.qcow2', '-F', 'qcow2', 'top.qcow2', '1M'], { cwd });
    const reasons =
      /Could not open 'chain\/top\.qcow2': .*Could not open backing file: .*'chain\/gone\.raw': No such file or directory$/m;
    const convert = ['-f', 'qcow2', '-O', 'raw', 'chain/top.qcow2'];
    await expectBothRefuse(convert, none, reasons, { cwd: path('') });
    const all = /'chain\/top\.qcow2'.*'chain\/mid\.qcow2'.*'chain\/low\.qcow2'.*'chain\/gone\.raw'/;
    await expectFailure(path(''), ['convert', ...convert, none], all, { cwd: path('') });
  });
});

describe('before anything is touched', () => {
  const old = path('old.qcow2');
  beforeEach(() => writeFile(old, 'what was there before'));

  test.each([
    ['-t', 'fast'],
    ['-T', 'fast'],
    ['-o', 'cluster_size=1000'],
    ['-o', 'bogus'],
    ['-S', '1000'],
    ['-r', 'fast'],
    ['-m', '0'],
    ['-B', raw],
    ['--object', 'secret,id=s,data=x'],
    ['-l', 'none'],
  ])('%s %s leaves an existing target unchanged', (...flags) =>
    expectFailure(path(''), ['convert', '-O', 'qcow2', ...flags, qcow2, old], /./),
  );
});

test('--object is refused with the reason', () =>
  expectFailure(
    path(''),
    ['convert', '--object', 'secret,id=s,data=x', '-O', 'raw', raw, none],
    /^--object is not supported: .*encrypted images/,
  ));

describe('other formats', () => {
  test.each(['vmdk', 'vdi', 'vhdx', 'qcow', 'qed'])(
    '%s is refused by name, found, stated or wanted',
    async (format) => {
      const image = path(`image.${format}`);
      await runOk('qemu-img', ['create', '-q', '-f', format, image, '1M']);
      const convert = (...args: string[]) => ['convert', ...args, none];
      await expectFailure(path(''), convert('-O', 'raw', image), new RegExp(`looks like a ${format} image`));
      const instead = new RegExp(`'${format}' is not supported \\(.*qemu-img convert`);
      await expectFailure(path(''), convert('-f', format, '-O', 'raw', image), instead);
      await expectFailure(path(''), convert('-f', 'raw', '-O', format, raw), instead);
      await convertWithBoth(['-f', 'raw', '-O', 'raw'], [image], path('as-raw'));
      expect((await readFile(path('as-raw.ours'))).equals(await readFile(path('as-raw.theirs')))).toBe(true);
    },
  );
});

test.each([
  ['rbd://localhost/disk', 'rbd'],
  ['http://localhost/disk.raw', 'http'],
  ['ssh://localhost/disk.raw', 'ssh'],
  ['rbd:pool/disk', 'rbd'],
  ['json:{"driver":"raw"}', 'json'],
])('%s is refused by the name of its protocol, with what to do instead', async (name, protocol) => {
  const line = new RegExp(`^Could not open '.*': Protocol '${protocol}' is not supported \\(.+\\)$`);
  await expectFailure(path(''), ['convert', '-O', 'raw', name, none], line);
  const target = new RegExp(`Protocol '${protocol}' is not supported \\(.+\\)$`);
  await expectFailure(path(''), ['convert', '-O', 'raw', raw, name], target);
});

describe('encrypted images', () => {
  const secret = ['--object', 'secret,id=s,data=geheim'];
  const encrypted = path('encrypted.qcow2');

  async function createAes(): Promise<void> {
    const options = 'encrypt.format=aes,encrypt.key-secret=s';
    await runOk('qemu-img', ['create', '-q', ...secret, '-f', 'qcow2', '-o', options, encrypted, '1M']);
  }

  async function isRefused(kind: string): Promise<void> {
    const line = new RegExp(`'${encrypted}' is encrypted \\(${kind}\\).*decrypt it first`);
    for (const flags of [['-f', 'qcow2'], [], ['--salvage']]) {
      await expectFailure(path(''), ['convert', ...flags, '-O', 'raw', encrypted, none], line);
    }
    const overlay = path('overlay.qcow2');
    await qemuImg.create(overlay, 1024 * KIB, ['-u', '-b', encrypted, '-F', 'qcow2']);
    await expectFailure(path(''), ['convert', '-f', 'qcow2', '-O', 'raw', overlay, none], line);
  }

  test('qcow2 with AES is refused by name, under an overlay too', async () => {
    await createAes();
    await isRefused('AES');
  });

  test('qcow2 with LUKS is refused by name, under an overlay too', async () => {
    await createAes();
    const bytes = await readFile(encrypted);
    bytes.writeUInt32BE(2, 32);
    await writeFile(encrypted, bytes);
    await isRefused('LUKS');
  });

  test.each([
    'info pointer.qcow2',
    'check pointer.qcow2',
    'check -r leaks pointer.qcow2',
    'map pointer.qcow2',
    'measure -O raw pointer.qcow2',
    'convert -O raw pointer.qcow2 none',
    'convert -n -f raw -O qcow2 disk.raw pointer.qcow2',
  ])('%s: a pointer to a LUKS header needs LUKS encryption, as for qemu-img', async (line) => {
    const bytes = await readFile(qcow2);
    const [list, pointerBytes] = [bytes.readUInt32BE(100), 24];
    bytes.copyWithin(list + pointerBytes, list, list + 1024);
    bytes.writeUInt32BE(EXTENSION_TYPES.encryption, list);
    bytes.writeUInt32BE(16, list + 4);
    bytes.writeBigUInt64BE(BigInt(8 * 64 * KIB), list + 8);
    bytes.writeBigUInt64BE(592n, list + 16);
    await writeFile(path('pointer.qcow2'), bytes);
    const [words, cwd] = [line.split(' '), path('')];
    const theirs = await run('qemu-img', words, { cwd });
    expect(theirs).toMatchObject({ status: 1, stderr: expect.stringContaining('only expected with LUKS') });
    const message =
      /header of 'pointer\.qcow2' has crypt_method 0 at offset 32, expected 2 \(LUKS\) with the encryption header pointer at offset 120$/;
    await expectFailure(path(''), words, message, { cwd });
  });

  test('a LUKS disk is refused by name', async () => {
    const header = Buffer.concat([Buffer.from('LUKS\xba\xbe\0\x01', 'latin1'), Buffer.alloc(1024 * KIB)]);
    await writeFile(path('disk.luks'), header);
    const convert = (...args: string[]) => ['convert', ...args, '-O', 'raw', path('disk.luks'), none];
    await expectFailure(path(''), convert(), /disk\.luks' looks like a luks image/);
    await expectFailure(path(''), convert('-f', 'luks'), /Format 'luks' is not supported/);
  });
});

describe('accepted options', () => {
  test.each([
    '-U',
    '--force-share',
    '-C',
    '-r 1T',
    '-r 0',
    '-W -m 16',
    '-T none -t none',
    '-t writethrough -T directsync',
    '-t unsafe',
  ])('%s changes nothing in the result', async (flags) => {
    const args = [...flags.split(' '), '-f', 'qcow2', '-O', 'raw'];
    const long = args.indexOf('--force-share');
    const both = await convertWithBoth(
      // The long name came after 7.2.
      (program) => (program === 'theirs' && long >= 0 ? args.with(long, '-U') : args),
      [qcow2],
      path('taken'),
    );
    await expectSameGuest(both, 'raw');
    expect((await readFile(both.ours)).equals(await readFile(raw))).toBe(true);
  });

  test('with -c, -S 0 allocates every cluster, and any other size changes nothing', async () => {
    const make = async (...flags: string[]) => {
      const target = path('compressed.qcow2');
      await rm(target, { force: true });
      await cliOk(['convert', '-c', '-f', 'raw', '-o', 'cluster_size=4k', ...flags, raw, target]);
      const { allocatedClusters, totalClusters } = await expectGoodImage(target, raw);
      return { allocatedClusters, totalClusters, bytes: await readFile(target) };
    };
    const usual = await make();
    expect(usual.allocatedClusters).toBeLessThan(usual.totalClusters);
    for (const size of ['512', '4k', '64k', '1M']) {
      expect((await make('-S', size)).bytes.equals(usual.bytes)).toBe(true);
    }
    const all = await make('-S', '0');
    expect(all.allocatedClusters).toBe(all.totalClusters);
    const theirs = path('theirs.qcow2');
    await qemuImg.convert(['-c', '-S', '0', '-o', 'cluster_size=4k'], [raw], theirs);
    expect((await qemuImg.check(theirs)).allocatedClusters).toBe(all.totalClusters);
  });
});
