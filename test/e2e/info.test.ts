/** `info` beside `qemu-img info`: the same words and the same JSON for every image there is. */
import { execFileSync } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { statSync } from 'node:fs';
import { chmod, copyFile, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { infoCommand } from '../../src/cli/info/command.js';
import { type InfoWords, readInfoWords } from '../../src/cli/info/request.js';
import { imageInfo } from '../../src/info/info.js';
import { RecordedOutput } from '../cli/recorded-output.js';
import { whileQemuIoHolds } from '../oracle/holding.js';
import { l2Census } from '../oracle/l2-census.js';
import { withoutOwnWarnings } from '../oracle/own-warnings.js';
import { run, runOk } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { cli, cliOk, UNPRIVILEGED } from './cli.js';
import { copyImages, filesOf, sampleImages } from './generated-images.js';
import { noLoopDevices, withLoopDevice } from './loop-device.js';
import { LUKS_IMAGE } from './luks-image.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const images = [...new Map(sampleImages().map((image) => [image.file, image])).values()];
/** Images that a test asks for by name. */
const NAMED = [
  'bitmaps/enabled.qcow2',
  'chains/depth-1.qcow2',
  'chains/depth-2.qcow2',
  'clusters/512-v2-zlib.qcow2',
  'clusters/64k-v3-zlib.qcow2',
  'clusters/64k-v3-zstd.qcow2',
  'data-files/64k.qcow2',
  'features/dirty.qcow2',
  'names/same-directory.qcow2',
  'snapshots/64k-4-bits.qcow2',
  'snapshots/v2.qcow2',
];
beforeAll(async () => {
  await copyImages(path('images'), [...filesOf(images), ...NAMED]);
  // The allocation in the file system must not change between two calls.
  await runOk('sync', ['-f', path('images')]);
});

/** The fields of an entry of the snapshot table that say something of the machine, with their places and lengths. */
const SNAPSHOT_FIELDS = [
  ['date in seconds', 16, 4],
  ['date in nanoseconds', 20, 4],
  ['VM clock', 24, 8],
  ['short VM state size', 32, 4],
  ['VM state size', 40, 8],
  ['disk size', 48, 8],
  ['instruction count', 56, 8],
] as const;

/** Two snapshots of a machine: one before its first instruction, one when it has run. */
async function saveMachine(file: string, machine: readonly string[]): Promise<void> {
  const args = [...machine, '-accel', 'tcg', '-display', 'none', '-nodefaults', '-S', '-monitor', 'stdio'];
  const drive = ['-drive', `if=none,id=disk,format=qcow2,file=${file}`];
  // While the monitor prints, the machine runs.
  const stdin = [
    'savevm saved',
    'cont',
    ...Array(500).fill('info registers'),
    'stop',
    'savevm again',
    'quit',
    '',
  ];
  const { status, stdout } = await run('qemu-system-x86_64', [...args, ...drive], {
    cwd: path(''),
    stdin: stdin.join('\n'),
  });
  expect({ status, errors: stdout.match(/^Error:.*/gm) }).toEqual({ status: 0, errors: null });
}

/** The text on standard output. @throws errors of the command */
async function info(file: string, words: InfoWords = {}): Promise<string> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const io = { stdout, stderr, process: new EventEmitter(), now: () => 0, imageInfo };
  expect(await infoCommand(readInfoWords([file], words), io)).toBe(0);
  expect(withoutOwnWarnings(stderr.text)).toBe('');
  return stdout.text;
}

async function qemuInfo(file: string, ...options: string[]): Promise<string> {
  return normalQemuText(await runOk('qemu-img', ['info', ...options, file]));
}

/** The output of qemu-img, adapted to the documented differences. */
function normalQemuText(text: string): string {
  // A name with a line end (of the images here there is one) cannot look like two lines.
  return text.replaceAll('two\nlines.raw', 'two\\x0alines.raw');
}

/** What qcow2c prints as JSON, as qemu-img 7.2 prints it. */
function normalJson(text: string): string {
  // Later versions of qemu-img tell of the nodes below the image too.
  return text.replace(/^( *)"children": \[\n(?:\1 .*\n)*\1\],\n/gm, '');
}

/** The node below an image, as qemu-img has printed it since 8.0. */
function childrenOf(file: string) {
  const { size, blocks } = statSync(file);
  const node = {
    children: [],
    filename: file,
    format: 'file',
    'virtual-size': Math.ceil(size / 512) * 512,
    'actual-size': blocks * 512,
    'dirty-flag': false,
    'format-specific': { type: 'file', data: {} },
  };
  return [{ name: 'file', info: node }];
}

async function expectSameAsQemuImg(file: string): Promise<void> {
  const [human, json] = await Promise.all([qemuInfo(file), qemuInfo(file, '--output=json')]);
  expect(await info(file)).toBe(human);
  const found = await info(file, { output: 'json' });
  expect(normalJson(found)).toBe(json);
  expect(JSON.parse(found)).toMatchObject({ children: childrenOf(file) });
}

describe('every generated image is described as qemu-img describes it', () => {
  test.each(images)('$file', ({ file }) => expectSameAsQemuImg(path('images', file)));
});

describe('every chain of generated images is described as qemu-img describes it', () => {
  test.each(images.filter(({ kinds }) => kinds.includes('chain')))('$file', async ({ file }) => {
    const image = path('images', file);
    const human = await run('qemu-img', ['info', '--backing-chain', image]);
    const words = { backingChain: true };
    if (human.status !== 0) {
      // qemu-img prints twice what it could not open.
      const expected = human.stderr.trim().replace(/^qemu-img: (Could not open '[^']*': )?\1/, '$1');
      await expect(info(image, words)).rejects.toMatchObject({
        message: expected.replace(/^qemu-img: /, ''),
      });
      return;
    }
    expect(await info(image, words)).toBe(normalQemuText(human.stdout));
    const json = await qemuInfo(image, '--backing-chain', '--output=json');
    expect(normalJson(await info(image, { ...words, output: 'json' }))).toBe(json);
  });
});

describe('images that the generator does not make are described as by qemu-img', () => {
  let withSnapshot: Buffer;
  beforeAll(async () => {
    const file = path('one-snapshot.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', file, '1M']);
    await runOk('qemu-img', ['snapshot', '-c', 'one', file]);
    withSnapshot = await readFile(file);
  });

  test.each([0, 1, 512, 1000, 1_023_488, 1_048_064, 2_228_224, 2 ** 30 - 1, 2 ** 40])(
    'a raw disk of %d bytes',
    async (size) => {
      const file = path('disk.raw');
      await writeFile(file, '');
      await truncate(file, size);
      await expectSameAsQemuImg(file);
      await rm(file);
    },
  );

  // A machine without a guest, under emulation. With `rr` it records, and so counts, its instructions.
  test.each(
    shortened<readonly [string, readonly string[], string]>(
      [
        ['no devices', ['-M', 'none'], 'compat=1.1'],
        ['devices, version 2', ['-M', 'microvm', '-m', '16'], 'compat=0.10'],
        [
          'counted instructions',
          ['-M', 'pc', '-m', '16', '-icount', 'shift=3,rr=record,rrfile=record'],
          'compat=1.1',
        ],
      ],
      1,
    ),
  )('snapshots of a running machine: %s', async (_, machine, options) => {
    const file = path('machine.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-o', options, file, '1M']);
    await runOk('qemu-img', ['snapshot', '-c', 'of qemu-img', file]);
    await saveMachine(file, machine);
    const { snapshots } = JSON.parse(await info(file, { output: 'json' })) as {
      snapshots: { name: string; icount?: number; 'vm-state-size': number }[];
    };
    expect(snapshots.map(({ name }) => name)).toEqual(['of qemu-img', 'saved', 'again']);
    // qemu-img itself writes a count of 0.
    const isCounted = machine.includes('-icount');
    expect(snapshots.map(({ icount }) => icount !== undefined)).toEqual([true, isCounted, isCounted]);
    expect(snapshots[1]?.['vm-state-size']).toBeGreaterThan(0);
    if (isCounted) expect(snapshots[2]?.icount).toBeGreaterThan(0);
    await expectSameAsQemuImg(file);
    expect(await cli(['check', '--data', file])).toMatchObject({ status: 0, stderr: '' });
  });

  test.each(
    SNAPSHOT_FIELDS.flatMap(([name, at, length]) =>
      [0x00, 0xff].map((fill) => [name, fill === 0 ? 'zeros' : 'ones', { at, length, fill }] as const),
    ),
  )('a snapshot whose %s is all %s', async (_, __, { at, length, fill }) => {
    const file = path('snapshot.qcow2');
    const bytes = Buffer.from(withSnapshot);
    const table = Number(bytes.readBigUInt64BE(64));
    bytes.fill(fill, table + at, table + at + length);
    await writeFile(file, bytes);
    await expectSameAsQemuImg(file);
  });

  test('a qcow2 image that is called a raw disk', async () => {
    const file = path('images', 'clusters/512-v2-zlib.qcow2');
    expect(await info(file, { format: 'raw' })).toBe(await qemuInfo(file, '-f', 'raw'));
  });

  test('a part of a raw disk', async () => {
    const file = path('disk.raw');
    await writeFile(file, Buffer.alloc(8192, 1));
    const options = `driver=raw,file.filename=${file},offset=512,size=1024`;
    const expected = await qemuInfo(options, '--image-opts');
    // qemu-img prints all options in the place of the name.
    expect(await info(options, { imageOpts: true })).toBe(expected.replace(/^image: .*/, `image: ${file}`));
  });

  test.each(['AES', 'LUKS'])('an image encrypted with %s', async (method) => {
    const file = path('encrypted.qcow2');
    if (method === 'LUKS') {
      await writeFile(file, LUKS_IMAGE);
    } else {
      const secret = ['--object', 'secret,id=key,data=secret'];
      const options = 'encrypt.format=aes,encrypt.key-secret=key';
      await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', ...secret, '-o', options, file, '1M']);
    }
    await expectSameAsQemuImg(file);
    const refused = await cli(['convert', '-f', 'qcow2', '-O', 'raw', file, path('none')]);
    expect(refused).toMatchObject({
      status: 1,
      stderr: expect.stringContaining(` is encrypted (${method})`),
    });
  });

  test('snapshots with dates, clocks, counters and states of any size', async () => {
    const file = path('snapshots.qcow2');
    await copyFile(path('images', 'snapshots/64k-4-bits.qcow2'), file);
    const image = await open(file, 'r+');
    const table = Number((await image.read(Buffer.alloc(8), 0, 8, 64)).buffer.readBigUInt64BE());
    const fields = Buffer.alloc(16);
    fields.writeUInt32BE(0xffffffff, 0);
    fields.writeUInt32BE(999_999_999, 4);
    fields.writeBigUInt64BE(2n ** 63n + 12_345_678_901_234n, 8);
    await image.write(fields, 0, 16, table + 16);
    const extra = Buffer.alloc(24);
    extra.writeBigUInt64BE(2n ** 64n - 5n, 0);
    extra.writeBigUInt64BE(3n * 2n ** 20n, 8);
    extra.writeBigUInt64BE(2n ** 64n - 2n, 16);
    await image.write(extra, 0, 24, table + 40);
    await image.close();
    await expectSameAsQemuImg(file);
  });

  test('an image with bitmaps that a program without support for them has made stale', async () => {
    const file = path('stale.qcow2');
    await copyFile(path('images', 'bitmaps/enabled.qcow2'), file);
    const image = await open(file, 'r+');
    await image.write(Buffer.alloc(8), 0, 8, 88);
    await image.close();
    const words =
      'a program lacking bitmap support modified this file, so all bitmaps are now considered inconsistent';
    const expected = await run('qemu-img', ['info', file]);
    expect(expected.stderr).toContain(`warning: ${words}`);
    expect(await cli(['info', file])).toEqual({
      ...expected,
      stderr: `qcow2c: warning: '${file}': ${words}\n`,
    });
  });
});

test('names that are not UTF-8 are shown as well as they can be, and drive no terminal', async () => {
  const file = path('latin-1.qcow2');
  await copyFile(path('images', 'names/same-directory.qcow2'), file);
  const image = await open(file, 'r+');
  const { buffer: header } = await image.read(Buffer.alloc(20), 0, 20, 0);
  const bytes = Buffer.from('M\xfcl\x1b[m.r', 'latin1');
  expect(bytes.length).toBe(header.readUInt32BE(16));
  await image.write(bytes, 0, bytes.length, Number(header.readBigUInt64BE(8)));
  await image.close();
  expect(await info(file)).toContain(
    `backing file: M\ufffdl\\x1b[m.r (actual path: ${path()}/M\ufffdl\\x1b[m.r)`,
  );
  expect(normalJson(await info(file, { output: 'json' }))).toBe(await qemuInfo(file, '--output=json'));
});

describe('the program', () => {
  const overlay = () => path('images', 'chains/depth-1.qcow2');

  test('returns what the command prints, and exits with 0', async () => {
    const file = path('images', 'features/dirty.qcow2');
    expect(await cliOk(['info', file])).toBe(await qemuInfo(file));
    expect(await cliOk(['info', '-U', '--output=json', '--backing-chain', overlay()])).toBe(
      await info(overlay(), { backingChain: true, output: 'json' }),
    );
  });

  test('looks at every cluster with --deep, and shows how far it is on standard error', async () => {
    const file = path('images', 'clusters/64k-v3-zstd.qcow2');
    const { status, stdout, stderr } = await cli(['info', '--deep', '-p', '--output=json', file]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: expect.stringMatching(/\(100\.00\/100%\)\s*$/) });
    const census = await l2Census(file);
    const deep = JSON.parse(stdout).deep;
    expect(deep).toMatchObject({
      'compressed-clusters': census.compressed,
      'normal-clusters': census.normal,
      'zero-clusters': census.zero + census['zero-allocated'],
      'broken-clusters': 0,
      'uncompressed-size': census.compressed * 65536,
    });
    // The wasted bytes are the unused parts of the host clusters.
    expect(deep['compressed-size'] + deep['wasted-size']).toBe(deep['host-clusters-of-payloads'] * 65536);
    expect(await cliOk(['info', '--deep', file])).toContain(
      `    compressed clusters: ${census.compressed}\n`,
    );
  });

  test.each([
    ['a missing file', ['nosuch'], "Could not open 'nosuch': No such file or directory"],
    ['no file', [], 'Expecting one image file name'],
    ['two files', ['a', 'b'], 'Expecting one image file name'],
    ['a protocol', ['ssh://host/x'], "Could not open 'ssh://host/x': Protocol 'ssh' is not supported"],
    [
      'a format and options',
      ['--image-opts', '-f', 'raw', 'x'],
      '--image-opts and --format are mutually exclusive',
    ],
    ['an unknown format', ['-f', 'foo', 'x'], "Could not open 'x': Unknown driver 'foo'"],
  ])('exits with 1 and one line for %s', async (_, args, message) => {
    const { status, stdout, stderr } = await cli(['info', ...args]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr.startsWith(`qcow2c: ${message}`)).toBe(true);
    expect(stderr.split('\n')).toHaveLength(2);
  });

  test('opens neither the backing file nor the data file unless it is asked for the chain', async () => {
    const backing = path('images', 'chains/depth-1.layer-0');
    const data = path('images', 'data-files/64k.data');
    await Promise.all([backing, data].map((file) => chmod(file, 0)));
    try {
      for (const file of [overlay(), path('images', 'data-files/64k.qcow2')]) {
        await cliOk(['info', '-f', 'qcow2', file], { under: UNPRIVILEGED });
      }
      const { status, stderr } = await cli(['info', '--backing-chain', overlay()], { under: UNPRIVILEGED });
      expect(status).toBe(1);
      expect(stderr).toBe(`qcow2c: Could not open '${backing}': Permission denied\n`);
    } finally {
      await Promise.all([backing, data].map((file) => chmod(file, 0o644)));
    }
  });
});

describe('an image that a virtual machine has open', () => {
  test.each(['qcow2', 'raw'] as const)(
    'in the format %s is looked at where qemu-img looks at it',
    async (format) => {
      const file = path(`held.${format}`);
      await copyFile(path('images', 'clusters/64k-v3-zlib.qcow2'), file);
      await whileQemuIoHolds(file, format, [], async () => {
        const args = ['info', '-f', format, file];
        for (const share of [[], ['-U']]) {
          const [expected, found] = await Promise.all([
            run('qemu-img', [...args, ...share]),
            cli([...args, ...share]),
          ]);
          expect(found.status).toBe(expected.status);
          expect(found.stdout).toBe(expected.stdout);
        }
      });
    },
  );

  test('as the backing file of another is read with -U', async () => {
    const file = path('images', 'chains/depth-2.qcow2');
    const middle = path('images', 'chains/depth-2.layer-1');
    await whileQemuIoHolds(middle, 'qcow2', [], async () => {
      await expect(info(file, { backingChain: true })).rejects.toMatchObject({
        code: 'ERR_IN_USE',
        file: middle,
      });
      const expected = await qemuInfo(file, '--backing-chain', '-U');
      expect(await info(file, { backingChain: true, forceShare: true })).toBe(expected);
    });
  });
});

const reason = await noLoopDevices();
if (reason !== undefined) {
  console.warn(`No loop devices (${reason}): what info says of them is not compared.`);
} else {
  test('a block device is described as qemu-img describes it, and its node as a device', async () => {
    const file = path('images', 'clusters/64k-v3-zlib.qcow2');
    await withLoopDevice(file, ['--read-only'], async (device) => {
      expect(await info(device)).toBe(await qemuInfo(device));
      const json = await info(device, { output: 'json' });
      expect(normalJson(json)).toBe(await qemuInfo(device, '--output=json'));
      const node = { filename: device, format: 'host_device', 'virtual-size': statSync(file).size };
      expect(JSON.parse(json)).toMatchObject({ children: [{ name: 'file', info: node }] });
    });
  });
}

test('the date of a snapshot is shown in local time', () => {
  const file = path('images', 'snapshots/v2.qcow2');
  const env = { ...process.env, TZ: 'America/New_York' };
  const args = ['info', file];
  const qemu = execFileSync('qemu-img', args, { env, encoding: 'utf8' });
  expect(qemu).toContain('1969-12-31 19:00:00');
  return expect(cliOk(args, { env: { TZ: 'America/New_York' } })).resolves.toBe(qemu);
});

test('the backing file of an image with a colon in its name is found and shown where qemu-img has it', async () => {
  const cwd = path('');
  await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', 'base.qcow2', '1M'], { cwd });
  const make = ['create', '-q', '-f', 'qcow2', '-b', 'base.qcow2', '-F', 'qcow2', './image:top.qcow2'];
  await runOk('qemu-img', make, { cwd });
  for (const name of ['./image:top.qcow2', 'file:image:top.qcow2']) {
    for (const options of [[], ['--backing-chain']]) {
      const args = ['info', '-f', 'qcow2', ...options, name];
      const theirs = await runOk('qemu-img', args, { cwd });
      expect(theirs).toContain('backing file: base.qcow2 (actual path: ./base.qcow2)\n');
      expect(await cliOk(args, { cwd })).toBe(theirs);
    }
  }
  expect(await cliOk(['info', '-f', 'qcow2', 'image:top.qcow2'], { cwd })).toContain(
    '(actual path: ./base.qcow2)',
  );
});
