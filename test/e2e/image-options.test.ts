/** --image-opts and --target-image-opts: images named node by node, as qemu-img takes them. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { create, info } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { runOk } from '../oracle/run.js';
import { convertWithBoth, expectBothRefuse } from './beside-qemu-img.js';
import { cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';

const path = useScratch();
const MIB = 1024 * 1024;
const bytes = patchworkBytes(MIB + 512);
const raw = path('disk.raw');
const plain = path('plain.qcow2');
const overlay = path('overlay.qcow2');
const other = path('other,with=signs.raw');
const external = path('external.qcow2');

/** A file's name as a value: each comma twice. */
const escaped = (name: string) => name.replaceAll(',', ',,');

beforeAll(async () => {
  await writeFile(raw, bytes);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, plain]);
  await create(overlay, MIB + 512, ['-b', plain, '-F', 'qcow2']);
  await qemuIo(overlay, ['write -q -P 0x77 300k 100k']);
  await writeFile(other, Buffer.from(bytes).reverse());
  await runOk('qemu-img', [
    ...[
      'convert',
      '-f',
      'raw',
      '-O',
      'qcow2',
      '-o',
      `data_file=${path('external.data')},data_file_raw=on`,
      raw,
      external,
    ],
  ]);
  await copyFile(other, path('moved.data'));
});

describe('a source named with --image-opts is what qemu-img finds', () => {
  const qcow2 = `driver=qcow2,file.driver=file,file.filename=${overlay}`;
  test.each<[string, string]>([
    ['a raw file', `driver=raw,file.driver=file,file.filename=${raw}`],
    ['a part of a raw file', `driver=raw,offset=5k,size=700k,file.driver=file,file.filename=${raw}`],
    ['the rest of a raw file', `driver=raw,offset=100k,file.driver=file,file.filename=${raw}`],
    ['a file itself', `driver=file,filename=${plain}`],
    ['a name with commas', `driver=raw,file.driver=file,file.filename=${escaped(other)}`],
    ['an image with its backing file', qcow2],
    [
      'an image in a raw node',
      `driver=qcow2,file.driver=raw,file.file.driver=file,file.file.filename=${overlay}`,
    ],
    [
      'an image in a file of another kind of node',
      `${qcow2},cache.direct=off,read-only=on,file.locking=off,discard=unmap`,
    ],
    [
      'another backing file',
      `${qcow2},backing.driver=raw,backing.file.driver=file,backing.file.filename=${escaped(other)}`,
    ],
    [
      'a part of a file as backing file',
      `${qcow2},backing.driver=raw,backing.size=512k,backing.file.driver=file,backing.file.filename=${raw}`,
    ],
    [
      'another data file',
      `driver=qcow2,file.driver=file,file.filename=${external},data-file.driver=file,data-file.filename=${path('moved.data')}`,
    ],
    ['its own data file', `driver=qcow2,file.driver=file,file.filename=${external}`],
  ])('%s', async (_, text) => {
    const { ours, theirs } = await convertWithBoth(['--image-opts', '-O', 'raw'], [text], path('disk'));
    expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true);
  });

  test('an image without its backing file', async () => {
    const { ours, theirs } = await convertWithBoth(
      ['--image-opts', '-O', 'raw'],
      [`${qcow2},backing=`],
      path('alone'),
    );
    const found = await readFile(ours);
    expect(found.equals(await readFile(theirs))).toBe(true);
    expect(found.subarray(0, 256 * 1024).every((byte) => byte === 0)).toBe(true);
  });
});

test('the driver of a file may be left out, and --source-image-opts is the same', async () => {
  const text = `driver=qcow2,file.filename=${overlay}`;
  for (const option of ['--image-opts', '--source-image-opts']) {
    await cliOk(['convert', option, '-O', 'raw', text, path('short.raw')]);
    await expectGoodImage(overlay, path('short.raw'));
  }
});

test('several sources with --image-opts follow each other', async () => {
  const sources = [
    `driver=raw,size=1M,file.driver=file,file.filename=${raw}`,
    `driver=qcow2,file.driver=file,file.filename=${plain}`,
  ];
  const { ours, theirs } = await convertWithBoth(['--image-opts', '-O', 'raw'], sources, path('joined'));
  expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true);
});

describe('a target named with --target-image-opts', () => {
  test.each([
    ['raw', []],
    ['qcow2', []],
    ['qcow2', ['-c']],
  ])('is written into: %s, %j', async (driver, flags) => {
    const target = path('target');
    if (driver === 'raw') await writeFile(target, Buffer.alloc(2 * MIB, 0xaa));
    else await create(target, 2 * MIB, ['-o', 'cluster_size=4k']);
    const { ino } = await stat(target);
    const text = `driver=${driver},file.driver=file,file.filename=${target}`;
    await cliOk(['convert', '-n', ...flags, '--target-image-opts', '-f', 'raw', raw, text]);
    expect((await stat(target)).ino).toBe(ino);
    if (driver === 'raw') {
      expect((await readFile(target)).subarray(0, bytes.length).equals(bytes)).toBe(true);
    } else {
      expect(await info(target)).toMatchObject({ clusterSize: 4096, virtualSize: 2 * MIB });
      await runOk('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', raw, target]);
    }
  });

  test('must be there: -n is needed, in the words of qemu-img', async () => {
    const words = /--target-image-opts requires use of -n flag/;
    await expectBothRefuse(['--target-image-opts', raw], path('none'), words);
  });

  test('must say its format, and that only once', async () => {
    const target = path('formats.raw');
    await copyFile(raw, target);
    const args = ['convert', '-n', '--target-image-opts', '-f', 'raw'];
    await expectFailure(path(''), [...args, raw, `file.filename=${target}`], /format must be stated/);
    const words = /mutually exclusive/;
    await expectFailure(path(''), [...args, '-O', 'raw', raw, `driver=raw,file.filename=${target}`], words);
  });
});

describe('what cannot be is refused', () => {
  const file = `file.driver=file,file.filename=${raw}`;

  test.each<[string, RegExp]>([
    [`driver=nothing,${file}`, /Unknown driver 'nothing'/],
    ['driver=raw', /A block device must be specified for "file"/],
    [`driver=raw,${file},no-such-key=1`, /Block format 'raw' does not support the option 'no-such-key'/],
    [
      `driver=raw,${file},file.no-such-key=1`,
      /Block protocol 'file' doesn't support the option 'no-such-key'/,
    ],
    [`driver=raw,${file},offset=2M`, /'/],
    [`driver=raw,${file},size=4M`, /'/],
    [`driver=qcow2,${file}`, /not.* qcow2/],
    [`driver=qcow2,file.driver=file,file.filename=${path('gone')}`, /'.*gone': No such file or directory/],
    ['driver=qcow2', /A block device must be specified for "file"/],
    ['disk.raw', /Cannot find device='disk\.raw' nor node-name='disk\.raw'/],
  ])('in the words of qemu-img: %s', async (text, words) => {
    await expectBothRefuse(['--image-opts', '-O', 'raw', text], path('none'), words);
  });

  test.each<[string, RegExp]>([
    ['driver=vmdk,file.filename=x', /Format 'vmdk' is not supported.*qemu-img convert/],
    ['driver=nbd,host=example', /Driver 'nbd' is not supported/],
    ['driver=qcow2,file.driver=nbd,file.host=example', /nbd.* not supported/],
    [`driver=qcow2,file.filename=${overlay},encrypt.key-secret=x`, /[Ee]ncrypt/],
  ])('by name: %s', async (text, words) => {
    await expectFailure(path(''), ['convert', '--image-opts', '-O', 'raw', text, path('none')], words);
  });

  test('with -f besides, in the words of qemu-img', async () => {
    const words = /--image-opts and --format are mutually exclusive/;
    await expectBothRefuse(
      ['--image-opts', '-f', 'raw', '-O', 'raw', `driver=raw,${file}`],
      path('none'),
      words,
    );
  });
});

describe('-U', () => {
  test.each([['-U'], ['--force-share']])('%s is accepted: nothing is locked', async (flag) => {
    const { ours, theirs } = await convertWithBoth(
      [flag, '-f', 'qcow2', '-O', 'raw'],
      [overlay],
      path('shared'),
    );
    expect((await readFile(ours)).equals(await readFile(theirs))).toBe(true);
  });

  test('an image that another program has open for writing is read', async () => {
    const writer = spawn('qemu-io', ['-f', 'qcow2', overlay], { stdio: ['pipe', 'pipe', 'ignore'] });
    // Its prompt: the image is open and locked.
    await once(writer.stdout, 'data');
    await cliOk(['convert', '-U', '-f', 'qcow2', '-O', 'raw', overlay, path('open.raw')]);
    writer.stdin.end('quit\n');
    await once(writer, 'exit');
    await expectGoodImage(overlay, path('open.raw'));
  });

  test('against force-share=off is refused, in the words of qemu-img', async () => {
    const text = `driver=raw,force-share=off,file.driver=file,file.filename=${raw}`;
    const words = /--force-share\/-U conflicts with image options/;
    await expectBothRefuse(['-U', '--image-opts', '-O', 'raw', text], path('none'), words);
  });
});
