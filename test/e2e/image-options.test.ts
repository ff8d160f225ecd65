/** --image-opts and --target-image-opts: the options that qemu-img reads too, and the refused ones by name. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, readFile, stat, writeFile } from 'node:fs/promises';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import * as qemuImg from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';
import { convertWithBoth, expectBothRefuse, expectSameGuest } from './beside-qemu-img.js';
import { cli, cliOk } from './cli.js';
import { expectFailure } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { patchworkBytes, textBytes } from './source-images.js';

const path = useScratch();
const KIB = 1024;
const DISK = 1000 * KIB;
const raw = path('disk.raw');
const other = path('other.raw');
const base = path('base.qcow2');
const overlay = path('overlay.qcow2');
const withData = path('with-data.qcow2');
const target = path('target');

beforeAll(async () => {
  await writeFile(raw, patchworkBytes(DISK));
  await writeFile(other, textBytes(DISK));
  await qemuImg.convert(['-c'], [raw], base);
  await qemuImg.create(overlay, DISK, ['-b', base, '-F', 'qcow2', '-o', 'cluster_size=4k']);
  await qemuImg.create(path('second.qcow2'), DISK, ['-b', base, '-F', 'qcow2']);
  await qemuIo(path('second.qcow2'), ['write -P 0x33 500k 1k']);
  await qemuIo(overlay, ['write -P 0x11 100k 40k', 'write -z 300k 80k']);
  await qemuImg.convert(['-o', `data_file=${path('data.raw')},data_file_raw=on`], [raw], withData);
  await copyFile(other, path('with,comma.raw'));
});

/** Expects the same raw disk of both programs. @returns its bytes */
async function expectSameDisk(...sources: string[]): Promise<Buffer> {
  const both = await convertWithBoth(['--image-opts', '-O', 'raw'], sources, target);
  await expectSameGuest(both, 'raw');
  return readFile(both.ours);
}

const isDisk = async (found: Buffer, image: string) => expect(found.equals(await readFile(image))).toBe(true);

describe('a source', () => {
  test('is the image in the file, its chain and its data file, as without the option', async () => {
    await isDisk(await expectSameDisk(`driver=raw,file.filename=${raw}`), raw);
    await isDisk(await expectSameDisk(`driver=qcow2,file.filename=${base}`), raw);
    await isDisk(await expectSameDisk(`driver=qcow2,file.driver=file,file.filename=${withData}`), raw);
    const chain = await expectSameDisk(`driver=qcow2,file.filename=${overlay}`);
    expect(chain.subarray(100 * KIB, 140 * KIB).every((byte) => byte === 0x11)).toBe(true);
    await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', overlay, path('merged.raw')]);
    await isDisk(chain, path('merged.raw'));
  });

  test('is looked for in its first bytes when no driver is named', async () => {
    await isDisk(await expectSameDisk(`file.filename=${base}`), raw);
    await isDisk(await expectSameDisk(`file.filename=${raw}`), raw);
  });

  test('is the file itself with driver=file, and with driver=raw, for any content', async () => {
    await isDisk(await expectSameDisk(`driver=file,filename=${base}`), base);
    await isDisk(await expectSameDisk(`driver=raw,file.filename=${base}`), base);
  });

  test('is in a raw node in a raw node', async () => {
    const nested = 'file.driver=raw,file.file.driver=file,file.file.filename';
    await isDisk(await expectSameDisk(`driver=raw,${nested}=${raw}`), raw);
    await isDisk(await expectSameDisk(`driver=qcow2,${nested}=${base}`), raw);
  });

  test('has a name in which two commas stand for one', async () => {
    const source = `driver=raw,file.filename=${path('with,,comma.raw')}`;
    await isDisk(await expectSameDisk(source), other);
  });

  test('may be several disks, each with its own options', async () => {
    const sources = [`driver=qcow2,file.filename=${base}`, `driver=raw,file.filename=${other}`];
    const joined = Buffer.concat([await readFile(raw), await readFile(other)]);
    expect((await expectSameDisk(...sources)).equals(joined)).toBe(true);
  });
});

describe('a part of a raw disk', () => {
  test.each<[string, number, number | undefined]>([
    ['offset=64k,size=128k', 64 * KIB, 128 * KIB],
    ['offset=1000,size=5120', 1000, 5120],
    ['offset=999936', 999_936, undefined],
    ['size=512', 0, 512],
    ['offset=4096,size=0', 4096, 0],
  ])('%s', async (part, offset, size) => {
    const found = await expectSameDisk(`driver=raw,file.filename=${raw},${part}`);
    const end = size === undefined ? DISK : offset + size;
    expect(found.equals((await readFile(raw)).subarray(offset, end))).toBe(true);
  });

  test.each([
    ['past its end', `offset=${DISK + 512}`],
    ['longer than the file', `offset=512,size=${DISK}`],
    ['of no whole sectors', 'size=1000'],
  ])('%s is refused by both', (_, part) =>
    expectBothRefuse(
      ['--image-opts', '-O', 'raw', `driver=raw,file.filename=${raw},${part}`],
      path('no'),
      /offset|size/i,
    ),
  );
});

describe('a name from the caller', () => {
  const top = `driver=qcow2,file.filename=${overlay}`;

  test.each([
    ['a raw backing file', `backing.driver=raw,backing.file.filename=${other}`],
    ['a backing file of a format to be found', `backing.file.filename=${base}`],
    [
      'a whole chain',
      `backing.driver=qcow2,backing.file.filename=${path('second.qcow2')},backing.backing.driver=raw,backing.backing.file.filename=${other}`,
    ],
    ['a part of a raw disk', `backing.driver=raw,backing.offset=64k,backing.file.filename=${other}`],
  ])('%s replaces the one in the image', async (_, words) => {
    const found = await expectSameDisk(`${top},${words}`);
    expect(found.subarray(100 * KIB, 140 * KIB).every((byte) => byte === 0x11)).toBe(true);
  });

  test('an overlay named to have no backing file shows zeros where it holds nothing', async () => {
    const options = ['convert', '--image-opts', '-O', 'raw', `${top},backing=`];
    // qemu-img warns that the word is old.
    await runOk('qemu-img', [...options, `${target}.theirs`]);
    await cliOk([...options, `${target}.ours`]);
    const found = await readFile(`${target}.ours`);
    const expected = Buffer.alloc(DISK).fill(0x11, 100 * KIB, 140 * KIB);
    expect(found.equals(expected)).toBe(true);
    expect(found.equals(await readFile(`${target}.theirs`))).toBe(true);
  });

  test('a backing file that the image names and that is gone is not missed', async () => {
    const orphan = path('orphan.qcow2');
    await copyFile(overlay, orphan);
    await runOk('qemu-img', ['rebase', '-u', '-b', path('gone.raw'), '-F', 'raw', orphan]);
    const words = `driver=qcow2,file.filename=${orphan}`;
    const found = await expectSameDisk(`${words},backing.driver=raw,backing.file.filename=${raw}`);
    await isDisk(found, path('merged.raw'));
    await expectBothRefuse(['--image-opts', '-O', 'raw', words], path('no'), /gone\.raw.*No such file/);
  });

  test('another data file replaces the one in the image', async () => {
    const words = `driver=qcow2,file.filename=${withData}`;
    await isDisk(await expectSameDisk(`${words},data-file.driver=file,data-file.filename=${other}`), other);
    await isDisk(await expectSameDisk(`${words},data-file.filename=${other}`), other);
  });
});

describe('a target', () => {
  beforeEach(async () => {
    await qemuImg.create(path('kept.qcow2'), DISK, ['-o', 'cluster_size=4k,compression_type=zstd']);
    await writeFile(path('kept.raw'), Buffer.alloc(DISK, 0xaa));
  });
  const into = (words: string, ...flags: string[]) => [
    'convert',
    '-n',
    '--target-image-opts',
    ...flags,
    raw,
    words,
  ];

  test('that exists is written into', async () => {
    const { ino } = await stat(path('kept.qcow2'));
    await cliOk(into(`driver=qcow2,file.filename=${path('kept.qcow2')}`, '-c'));
    expect((await stat(path('kept.qcow2'))).ino).toBe(ino);
    expect((await expectGoodImage(path('kept.qcow2'), raw)).compressedClusters).toBeGreaterThan(0);
    expect(await qemuImg.info(path('kept.qcow2'))).toMatchObject({
      clusterSize: 4096,
      compressionType: 'zstd',
    });
    await cliOk(into(`driver=raw,file.filename=${path('kept.raw')}`));
    await isDisk(await readFile(path('kept.raw')), raw);
  });

  test('is refused without -n, with -O beside it, and if it does not exist', async () => {
    const words = `driver=qcow2,file.filename=${path('kept.qcow2')}`;
    const requires = /^(qemu-img: )?--target-image-opts requires use of -n flag\n?$/;
    const create = into(words).filter((word) => word !== '-n');
    expect((await run('qemu-img', create)).stderr).toMatch(requires);
    await expectFailure(path(''), create, requires);
    const both = /^(qemu-img: )?--image-opts and --format are mutually exclusive\n?$/;
    await expectFailure(path(''), into(words, '-O', 'qcow2'), both);
    const none = into(`driver=qcow2,file.filename=${path('none.qcow2')}`);
    await expectFailure(path(''), none, /'.*none\.qcow2': No such file or directory$/);
  });

  test('must state its format, and nothing that is only for sources', async () => {
    await expectFailure(path(''), into(`file.filename=${path('kept.qcow2')}`), /format must be stated/);
    const words = `driver=qcow2,file.filename=${path('kept.qcow2')},backing=`;
    await expectFailure(path(''), into(words), /'backing' cannot be used with a target$/);
  });
});

describe('by both programs', () => {
  test.each<[string, RegExp]>([
    ['driver=qcow2,file.filename=x,bogus=1', /: Block format 'qcow2' does not support the option 'bogus'/],
    [
      'driver=raw,file.filename=x,data-file.filename=y',
      /: Block format 'raw' does not support the option 'data-file/,
    ],
    ['driver=raw,file.filename=x,file.bogus=1', /support the option 'bogus'/],
    ['driver=bogus,file.filename=x', /: Unknown driver 'bogus'/],
    ['driver=qcow2', /: A block device must be specified for "file"/],
    ['driver=file', /: The 'file' block driver requires a file name/],
    ['driver=qcow2,file.filename=none.qcow2', /'none\.qcow2': No such file or directory/],
    ['x', /'x': Cannot find device='x' nor node-name='x'/],
  ])('%s is refused in the same words', async (words, line) => {
    await copyFile(words.startsWith('driver=raw') ? raw : base, path('x'));
    await expectBothRefuse(['--image-opts', '-O', 'raw', words], path('no'), line, { cwd: path('') });
  });

  test('-f beside --image-opts is refused, the same file as source and target too', async () => {
    const words = `driver=raw,file.filename=${raw}`;
    const line = /--image-opts and --format are mutually exclusive/;
    await expectBothRefuse(['--image-opts', '-f', 'raw', '-O', 'raw', words], path('no'), line);
    const same = ['convert', '--image-opts', '-O', 'raw', words, raw];
    await expectFailure(path(''), same, /same file/i);
  });
});

test.each([
  [`driver=vmdk,file.filename=${raw}`, 'vmdk'],
  [`driver=luks,key-secret=s,file.filename=${raw}`, 'luks'],
  ['driver=ssh,host=localhost', 'ssh'],
  [`driver=raw,file.driver=https,file.url=https://localhost/`, 'https'],
  [`driver=raw,file.driver=blkdebug,file.image.filename=${raw}`, 'blkdebug'],
  [`driver=throttle,throttle-group=g,file.filename=${raw}`, 'throttle'],
  [`driver=qcow2,file.filename=${overlay},backing.driver=qed,backing.file.filename=${raw}`, 'qed'],
])('%s is refused by the name of its driver', async (words, driver) => {
  const { status, stdout, stderr } = await cli(['convert', '--image-opts', '-O', 'raw', words, path('no')]);
  expect([status, stdout]).toEqual([1, '']);
  expect(stderr).toContain(`'${driver}' is not supported`);
  await expect(stat(path('no'))).rejects.toThrow('ENOENT');
});

describe('-U', () => {
  test('reads an image that another program has open for writing', async () => {
    const writer = spawn('qemu-io', ['-f', 'qcow2', overlay], { stdio: ['pipe', 'pipe', 'ignore'] });
    // Its prompt: the image is open and locked.
    await once(writer.stdout, 'data');
    await cliOk(['convert', '-U', '-f', 'qcow2', '-O', 'raw', overlay, path('shared.raw')]);
    writer.stdin.end('quit\n');
    await once(writer, 'exit');
    await isDisk(await readFile(path('shared.raw')), path('merged.raw'));
  });

  test('against force-share=off is refused by both', async () => {
    const words = `driver=raw,force-share=off,file.driver=file,file.filename=${raw}`;
    const line = /--force-share\/-U conflicts with image options/;
    await expectBothRefuse(['-U', '--image-opts', '-O', 'raw', words], path('no'), line);
  });
});
