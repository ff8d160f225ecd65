/** `checksum`: the digest of what the guest sees, held against a computation in another language. */
import { execFileSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { diskDigest, diskDigests } from '../oracle/disk-digest.js';
import { create } from '../oracle/qemu-img.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';
import { longTest, sample } from '../stage.js';
import { cli, cliOk, startCli } from './cli.js';
import { expectFailure, snapshot } from './failures.js';
import { noLoopDevices, withLoopDevice } from './loop-device.js';
import { useScratch } from './scratch.js';
import { makeHoles, makeSparseDisk, patchworkBytes, randomBytes, TIB, textBytes } from './source-images.js';

const path = useScratch();
const KIB = 1024;
const MIB = 1024 * KIB;
const raw = path('disk.raw');
/** Data, holes, written zeros, blocks that are zeros in part, and an end inside a block. */
const content = Buffer.concat([
  textBytes(300_000),
  Buffer.alloc(5 * MIB + 512),
  patchworkBytes(4 * MIB),
  Buffer.alloc(3 * MIB),
  randomBytes(77_777),
  Buffer.alloc(70_000),
]);
let digest: string;

const line = (digits: string, name: string) => `${digits}  ${name}\n`;

beforeAll(async () => {
  await makeHoles(raw, content);
  truncateSync(raw, Math.ceil(content.length / 512) * 512);
  digest = await diskDigest(raw);
});

describe('the digest of one disk is the same', () => {
  test.each(
    sample(
      [
        '-O raw -S 0',
        '-O qcow2',
        '-O qcow2 -o cluster_size=512',
        '-O qcow2 -S 0 -o cluster_size=4k,extended_l2=off',
        '-O qcow2 -o extended_l2=on,cluster_size=128k',
        '-O qcow2 -o compat=0.10',
        '-O qcow2 -c',
        '-O qcow2 -c -o cluster_size=1k',
        '-O qcow2 -c -o compression_type=zstd,cluster_size=2M',
      ],
      2,
      4,
    ),
  )('in an image of qemu-img convert %s', async (options) => {
    const image = path('image');
    await runOk('qemu-img', ['convert', ...options.split(' '), raw, image]);
    expect(await cliOk(['checksum', image])).toBe(line(digest, image));
  });

  test('in a file, on a device, in a pipe and as standard input', async () => {
    expect(await cliOk(['checksum', raw])).toBe(line(digest, raw));
    const piped = { under: ['sh', '-c', 'cat "$0" | "$@"', raw] };
    for (const name of ['-', '/dev/stdin']) {
      expect(await cliOk(['checksum', '-f', 'raw', name], piped)).toBe(line(digest, name));
    }
    const pipe = path('pipe');
    execFileSync('mkfifo', [pipe]);
    const { finished } = startCli(['checksum', '-f', 'raw', pipe]);
    writeFileSync(pipe, readFileSync(raw));
    expect((await finished).stdout).toBe(line(digest, pipe));
    if ((await noLoopDevices()) !== undefined) return;
    await withLoopDevice(raw, ['--read-only'], async (device) => {
      expect(await cliOk(['checksum', '-f', 'raw', device])).toBe(line(digest, device));
    });
  });

  test('with one thread, in little memory and past the page cache', async () => {
    for (const options of [['-m', '1'], ['--memory', '140M'], ['-T', 'none'], ['-U']]) {
      expect(await cliOk(['checksum', ...options, raw]), options.join(' ')).toBe(line(digest, raw));
    }
  });
});

test('disks of all sizes, of data and of zeros, have the digests of their definition', async () => {
  const disks = [0, 512, 65_536 - 512, 65_536, 65_536 + 512, 2 * MIB, 2 * MIB + 512].flatMap((size) => {
    const [data, zeros] = [path(`data-${size}`), path(`zeros-${size}`)];
    writeFileSync(data, randomBytes(size));
    writeFileSync(zeros, Buffer.alloc(size));
    return [data, zeros];
  });
  const digests = await diskDigests(disks);
  expect(await cliOk(['checksum', ...disks])).toBe(
    disks.map((disk, index) => line(digests[index]!, disk)).join(''),
  );
});

longTest('128 GiB with a hole up to their last sector have the digest of their definition', async () => {
  const disk = path('large.raw');
  const size = TIB / 8;
  await makeSparseDisk(disk, size, [[size - 512, randomBytes(512)]]);
  const expected = execFileSync(
    'python3',
    [
      '-c',
      [
        'import hashlib, sys',
        'zeros = hashlib.sha256(bytes(65536)).digest() * 1024',
        'outer = hashlib.sha256()',
        'for _ in range(2047): outer.update(zeros)',
        'outer.update(zeros[:-32])',
        'outer.update(hashlib.sha256(bytes(65024) + sys.stdin.buffer.read()).digest())',
        'outer.update((2 ** 37).to_bytes(8, "little"))',
        'print(outer.hexdigest())',
      ].join('\n'),
    ],
    { input: randomBytes(512), encoding: 'utf8' },
  );
  expect(await cliOk(['checksum', disk])).toBe(line(expected.trim(), disk));
});

describe('images that consist of more than one file', () => {
  const [base, overlay, flat] = [path('base.qcow2'), path('overlay.qcow2'), path('flat.raw')];

  beforeAll(async () => {
    await runOk('qemu-img', ['convert', '-O', 'qcow2', '-c', raw, base]);
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', overlay, '20M']);
    await qemuIo(overlay, ['write -q -P 7 1M 300k', 'write -q -z 6M 1M', 'write -q -P 9 19M 1k']);
    await runOk('qemu-img', ['convert', '-O', 'raw', overlay, flat]);
  });

  test('a chain has the digest of its disk, and only if its format is stated', async () => {
    const expected = await diskDigest(flat);
    expect(await cliOk(['checksum', '-f', 'qcow2', overlay])).toBe(line(expected, overlay));
    await expectFailure(path(), ['checksum', overlay], /names the backing file/);
    await expectFailure(path(), ['checksum', '--isolated', '-f', 'qcow2', overlay], /backing file/);
  });

  test('--image-opts can leave out the backing file, and take a part of a raw disk', async () => {
    const alone = `file.filename=${overlay},backing=`;
    const part = `driver=raw,file.filename=${raw},offset=1M,size=3M`;
    await runOk('qemu-img', ['convert', '--image-opts', '-O', 'raw', alone, path('alone.raw')]);
    writeFileSync(path('part.raw'), readFileSync(raw).subarray(MIB, 4 * MIB));
    expect(await cliOk(['checksum', '--image-opts', alone, part])).toBe(
      line(await diskDigest(path('alone.raw')), alone) + line(await diskDigest(path('part.raw')), part),
    );
  });

  test('-l takes the digest of a snapshot', async () => {
    const image = path('snapshots.qcow2');
    await create(image, 3 * MIB);
    await qemuIo(image, ['write -q -P 1 0 1M']);
    await runOk('qemu-img', ['snapshot', '-c', 'before', image]);
    await qemuIo(image, ['write -q -P 2 0 2M']);
    await runOk('qemu-img', ['convert', '-l', 'before', '-O', 'raw', image, path('before.raw')]);
    const words = ['checksum', '-f', 'qcow2', '-l', 'before', image];
    expect(await cliOk(words)).toBe(line(await diskDigest(path('before.raw')), image));
  });
});

describe('an image that cannot be read', () => {
  test('does not stop the others, and the exit code is 1', async () => {
    const { status, stdout, stderr } = await cli(['checksum', path('missing'), raw, 'ftp://h/x', raw]);
    expect({ status, stdout }).toEqual({ status: 1, stdout: line(digest, raw).repeat(2) });
    expect(stderr.split('\n')).toEqual([
      expect.stringMatching(/missing': No such file or directory$/),
      expect.stringMatching(/^qcow2c: Could not open 'ftp:\/\/h\/x': Protocol 'ftp' is not supported/),
      '',
    ]);
  });

  test('is an empty stream too: no disk has 0 bytes', async () => {
    const { status, stdout, stderr } = await cli(['checksum', '-'], { stdin: '' });
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
    expect(stderr).toMatch(/^qcow2c: 'standard input' is empty, .* has probably failed\n$/);
  });

  test('is described in JSON beside the others', async () => {
    const { status, stdout } = await cli(['checksum', '--output=json', path('missing'), raw]);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual([
      { filename: path('missing'), error: { code: 'ERR_IO', message: expect.any(String) } },
      { filename: raw, format: 'raw', 'virtual-size': Math.ceil(content.length / 512) * 512, digest },
    ]);
  });

  test('with a payload that does not inflate fails, and no digest is printed', async () => {
    const image = path('damaged.qcow2');
    await runOk('qemu-img', ['convert', '-O', 'qcow2', '-c', raw, image]);
    const bytes = readFileSync(image);
    bytes.fill(0xff, bytes.length - 40_000, bytes.length - 20_000);
    writeFileSync(image, bytes);
    await expectFailure(path(), ['checksum', image], /Compressed cluster at guest offset \d+ cannot be read/);
  });
});

/** Both programs verify lists of the same form, each with its own digests. */
describe('--check says what sha256sum -c says', () => {
  const names = ['x', 'back\\slash', 'line\nfeed', ' leading and trailing ', '-dash', '*star'];
  const there = path('listed');
  let sums: Record<'ours' | 'theirs', Record<string, string>>;

  beforeAll(async () => {
    execFileSync('mkdir', [there]);
    for (const [index, name] of names.entries()) writeFileSync(`${there}/${name}`, randomBytes(512, index));
    const files = names.map((name) => `./${name}`);
    const listed = {
      ours: await cliOk(['checksum', '-f', 'raw', ...files], { cwd: there }),
      theirs: await runOk('sha256sum', files, { cwd: there }),
    };
    const lines = (text: string) => text.trimEnd().split('\n');
    const withoutDigest = (text: string) => lines(text).map((each) => each.replace(/[0-9a-f]{64}/, ''));
    expect(withoutDigest(listed.ours)).toEqual(withoutDigest(listed.theirs));
    const byName = (text: string) => Object.fromEntries(lines(text).map((each, at) => [names[at], each]));
    sums = { ours: byName(listed.ours), theirs: byName(listed.theirs) };
  });

  const zeros = '0'.repeat(64);
  const good = (of: Record<string, string>) => names.map((name) => of[name]!);
  /** Each makes the lines of a list from the right lines of all files. */
  const LISTS: Record<string, (of: Record<string, string>) => string[]> = {
    'right lines': good,
    'a wrong digest': (of) => [...good(of), `${zeros}  x`],
    'several wrong digests': (of) => [`${zeros}  x`, ...good(of), `${zeros} *x`],
    'a file that is missing': (of) => [`${zeros}  missing`, ...good(of)],
    'only files that are missing': () => [`${zeros}  missing`, `${zeros}  gone`],
    'a line in another format': (of) => [...good(of), 'this is no digest'],
    'lines in other formats': (of) => [`${zeros.slice(1)}  x`, `${zeros}x`, `\\${zeros}  a\\x`, of['x']!],
    'no line in the format': () => ['nothing', '# here'],
    'nothing at all': () => [],
    'comments, empty lines and carriage returns': (of) => ['# a comment', '', `${of['x']}\r`, ''],
    'upper case and blanks before the digest': (of) => [`  ${of['x']!.slice(0, 64).toUpperCase()}  x`],
  };
  const OPTIONS = ['', '--quiet', '--status', '--strict', '--warn', '--ignore-missing', '--strict --quiet'];

  test.each(Object.entries(LISTS))('about %s', async (_, linesOf) => {
    for (const option of sample(OPTIONS, 2)) {
      const flags = option === '' ? [] : option.split(' ');
      writeFileSync(
        `${there}/ours`,
        linesOf(sums.ours)
          .map((each) => `${each}\n`)
          .join(''),
      );
      writeFileSync(
        `${there}/theirs`,
        linesOf(sums.theirs)
          .map((each) => `${each}\n`)
          .join(''),
      );
      const ours = await cli(['checksum', '-f', 'raw', '--check', ...flags, 'ours'], { cwd: there });
      const theirs = await run('sha256sum', ['--check', ...flags, 'theirs'], { cwd: there });
      const warnings = (text: string, program: string) =>
        text.split('\n').flatMap((each) => {
          const said = each
            .replace(`${program}: `, '')
            .replace(' SHA256', '')
            .replace(/^theirs:/, 'ours:');
          return /No such file/.test(said) ? ['missing'] : [said];
        });
      expect({ status: ours.status, stdout: ours.stdout }, option).toEqual({
        status: theirs.status,
        stdout: theirs.stdout,
      });
      expect(warnings(ours.stderr, 'qcow2c'), option).toEqual(warnings(theirs.stderr, 'sha256sum'));
    }
  });

  test('about several lists, one of them missing, and about standard input', async () => {
    const list = `${good(sums.ours)[0]}\n`;
    writeFileSync(`${there}/one`, list);
    const seen = await cli(['checksum', '-c', '-f', 'raw', 'none', 'one'], { cwd: there });
    expect(seen).toMatchObject({ status: 1, stdout: './x: OK\n' });
    expect(seen.stderr).toMatch(/^qcow2c: Could not read 'none': No such file or directory\n$/);
    for (const words of [['-c'], ['--check', '-']]) {
      const read = await cli(['checksum', ...words, '-f', 'raw'], { cwd: there, stdin: list });
      expect(read).toMatchObject({ status: 0, stdout: './x: OK\n', stderr: '' });
    }
  });

  test('and in JSON, with what was expected and found', async () => {
    writeFileSync(`${there}/json`, `${good(sums.ours)[0]}\n${zeros}  ./x\n${zeros}  none\n`);
    const { status, stdout } = await cli(['checksum', '-c', '-f', 'raw', '--output=json', 'json'], {
      cwd: there,
    });
    const found = good(sums.ours)[0]!.slice(0, 64);
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toEqual([
      { filename: './x', expected: found, digest: found, result: 'ok' },
      { filename: './x', expected: zeros, digest: found, result: 'failed' },
      { filename: 'none', expected: zeros, result: 'unreadable', error: expect.any(Object) },
    ]);
  });

  test('a name that is not UTF-8 is not read as another name', async () => {
    const list = Buffer.concat([Buffer.from(`${zeros}  a`), Buffer.from([0xff, 0x0a])]);
    writeFileSync(`${there}/bytes`, list);
    const seen = await cli(['checksum', '-c', 'bytes'], { cwd: there });
    expect(seen.status).toBe(1);
    expect(seen.stderr).toMatch(/line 1: the name is not UTF-8.*\n.*1 listed file could not be read/);
  });

  test('a line of any length is read in little memory and is in another format', async () => {
    writeFileSync(
      `${there}/long`,
      Buffer.concat([Buffer.alloc(3 * MIB, 'x'), Buffer.from(`\n${good(sums.ours)[0]}\n`)]),
    );
    const seen = await cli(['checksum', '-c', '-f', 'raw', 'long'], { cwd: there });
    expect(seen).toMatchObject({ status: 0, stdout: './x: OK\n' });
    expect(seen.stderr).toBe('qcow2c: WARNING: 1 line is improperly formatted\n');
  });
});

test('nothing is written', async () => {
  const before = snapshot(path());
  await cli(['checksum', '-p', '--progress=json', raw, path('missing')]);
  expect(snapshot(path())).toEqual(before);
});
