/**
 * A raw disk from a stream: the same image as from a file, for any length, and clean failures. What standard input has
 * of its own is tested with one; the rest with a named pipe, which needs no process for qcow2c.
 */
import {
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { gzipSync } from 'node:zlib';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import * as qemuImg from '../oracle/qemu-img.js';
import { type Running, run, runOk } from '../oracle/run.js';
import { longTest, sample } from '../stage.js';
import { type CliOptions, cli, cliOk, injecting, ONE_THREAD, ROOT, startCli } from './cli.js';
import { expectFailure, snapshot } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const image = path('image.qcow2');
const KIB = 1024;
const MIB = 1024 * KIB;
/**
 * Some of everything, with work items that are all zeros and an end inside a sector. With two threads the memory
 * of the last item has held text before.
 */
const content = Buffer.concat([
  textBytes(500_000),
  Buffer.alloc(5 * MIB),
  randomBytes(300_000),
  textBytes(900_000),
  Buffer.alloc(MIB + 41 * 512),
]);
const DISK_SIZE = Math.ceil(content.length / 512) * 512;
/** One work item, which needs no thread: for runs that are processes. */
const small = path('small.raw');
beforeAll(() => {
  writeFileSync(raw, content);
  writeFileSync(small, textBytes(MIB + 100));
});

/** Runs qcow2c behind a pipe to which the shell's `command` writes. */
const piped = (command: string): CliOptions => ({ under: ['sh', '-c', `${command} | "$0" "$@"`] });
const fifo = useScratch()('stream');
/** A stream of the name `fifo`, to which the shell's `command` writes. */
const stream = (command: string): CliOptions => ({ pipe: { fifo, command } });
/** Runs qcow2c with a redirection of its standard input. */
const redirected = (redirection: string): CliOptions => ({
  under: ['sh', '-c', `exec "$0" "$@" ${redirection}`],
});

test.each(
  sample(
    [
      '-c -m 2',
      '-c -o compression_type=zstd,cluster_size=2M',
      '-O qcow2 -S 0',
      '-O qcow2 -o extended_l2=on',
      '-O raw',
    ],
    2,
  ),
)('convert %s makes the same bytes from a pipe as from the file', async (flags) => {
  const args = ['convert', ...flags.split(' ')];
  await cliOk([...args, raw, path('from-file')]);
  // The size of the writes is not a multiple or divisor of a sector or any other unit.
  const command = `dd if='${raw}' bs=33333 status=none`;
  if (flags.startsWith('-c')) await cliOk([...args, '-', path('from-pipe')], piped(command));
  else await cliOk([...args, fifo, path('from-pipe')], stream(command));
  await runOk('cmp', [path('from-file'), path('from-pipe')]);
});

test('with small clusters leaves room for a large L1 table, which stays a hole', async () => {
  const flags = ['-c', '-o', 'cluster_size=4k'];
  await cliOk(['convert', ...flags, raw, path('small.qcow2')]);
  await cliOk(['convert', ...flags, fifo, path('small-pipe.qcow2')], stream(`cat '${raw}'`));
  await expectGoodImage(path('small-pipe.qcow2'), raw);
  const [fromFile, fromPipe] = [statSync(path('small.qcow2')), statSync(path('small-pipe.qcow2'))];
  expect(fromPipe.size - fromFile.size).toBeLessThan(512 * KIB);
  // Some file systems allocate a few blocks more around a hole.
  expect((fromPipe.blocks - fromFile.blocks) * 512).toBeLessThan(64 * KIB);
});

test('a compressed disk is converted without being unpacked to a file', async () => {
  writeFileSync(path('disk.gz'), gzipSync(content, { level: 1 }));
  await cliOk(['convert', '-c', fifo, image], stream(`zcat '${path('disk.gz')}'`));
  await expectGoodImage(image, raw);
});

test.each(sample([1, 512, 65_537, 2 * MIB, 2 * MIB + 1], 2))(
  'a stream of %i bytes is rounded up to a sector and padded with zeros',
  async (length) => {
    const odd = path('odd.raw');
    writeFileSync(odd, Buffer.concat([textBytes(length - 1), Buffer.from([0x5a])]));
    await cliOk(['convert', '-c', fifo, image], stream(`cat '${odd}'`));
    await expectGoodImage(image, odd);
    await cliOk(['convert', '-O', 'raw', fifo, path('out.raw')], stream(`cat '${odd}'`));
    const disk = readFileSync(path('out.raw'));
    expect(disk.length).toBe(Math.ceil(length / 512) * 512);
    expect(disk.equals(Buffer.concat([readFileSync(odd), Buffer.alloc(disk.length - length)]))).toBe(true);
  },
);

describe('an empty stream', () => {
  const empty = [
    ['a program that failed', fifo, stream('false')],
    ['a closed standard input', '-', redirected('<&-')],
    ['an empty file', '-', redirected('< /dev/null')],
  ] as const;
  const old = path('old.qcow2');
  const line = /^'[^']+' is empty, and no disk has 0 bytes: .* \(for an empty disk use -o size=0\)$/;

  test.each(empty)('(%s) is an error, and leaves the target unchanged', async (_, name, source) => {
    await qemuImg.convert([], [raw], old);
    // Every way to an empty stream is refused alike; one of them goes through all kinds of targets.
    const isFirst = name === fifo;
    for (const flags of isFirst ? ['-c', '-c --verify', '-O raw -n'] : ['-c']) {
      await expectFailure(path(''), ['convert', ...flags.split(' '), name, old], line, source);
    }
    if (!isFirst) return;
    const existing = path('existing.qcow2');
    await qemuImg.create(existing, 8 * MIB);
    await expectFailure(path(''), ['convert', '-c', '-n', name, existing], line, source);
    const measured = await cli(['measure', '-c', name], source);
    expect(measured).toMatchObject({ status: 1, stdout: '' });
    expect(measured.stderr).toMatch(/^qcow2c: '[^']+' is empty/);
  });

  test.each(sample(empty, 1))('(%s) is a disk of 0 bytes with -o size=0', async (_, name, source) => {
    for (const flag of ['-c', '-Oqcow2']) {
      await cliOk(['convert', flag, '-o', 'size=0', name, image], source);
      expect((await qemuImg.info(image)).virtualSize).toBe(0);
      expect(await qemuImg.check(image)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
    }
    if (name !== fifo) return;
    rmSync(path('out.raw'), { force: true });
    await cliOk(['convert', '-O', 'raw', '-o', 'size=0', name, path('out.raw')], source);
    expect(statSync(path('out.raw')).size).toBe(0);
    await cliOk(['measure', '-c', '-o', 'size=0', name], source);
  });
});

test('--min-size keeps the old image when the stream is shorter, for any kind of target', async () => {
  writeFileSync(path('old'), 'what was there before');
  for (const flags of ['-c', '-O qcow2', '-O raw']) {
    // A file's size is known before, whatever the target.
    for (const name of flags === '-c' ? [fifo, path('part.raw')] : [fifo]) {
      writeFileSync(path('part.raw'), content.subarray(0, 3 * MIB));
      const args = ['convert', ...flags.split(' '), '--min-size', '3145729', name, path('new')];
      const line = new RegExp(
        `^'${name}' .* 3145728 bytes: at least 3145729 were expected \\(--min-size\\)$`,
      );
      const options = name === fifo ? stream(`cat '${path('part.raw')}'`) : {};
      await expectFailure(path(''), args, line, options);
    }
  }
  await cliOk(['convert', '-c', '--min-size=3M', fifo, image], stream(`cat '${path('part.raw')}'`));
  await expectGoodImage(image, path('part.raw'));
});

describe('the name of a stream as a source', () => {
  /** A named pipe that no program writes to. */
  const idle = path('idle');
  beforeAll(() => runOk('mkfifo', [idle]));
  const shell = (script: string): CliOptions => ({ under: ['bash', '-c', script] });

  test.each(
    sample(
      [
        ['/dev/stdin of a pipe', '/dev/stdin', `cat '${small}' | "$0" "$@"`],
        ['/dev/fd/3 of a file', '/dev/fd/3', `"$0" "$@" 3< '${small}'`],
        ['/dev/stdin of a file', '/dev/stdin', `"$0" "$@" < '${small}'`],
        ['/dev/fd/3 of a pipe', '/dev/fd/3', `"$0" "$@" 3< <(cat '${small}')`],
      ],
      1,
    ),
  )('%s is the disk that comes out of it', async (_, name, script) => {
    await cliOk(['convert', '-c', name, image], shell(script));
    await expectGoodImage(image, small);
  });

  test('a named pipe whose writer comes later is the disk that comes out of it', async () => {
    await cliOk(['convert', '-c', fifo, image], stream(`sleep 0.5; cat '${raw}'`));
    await expectGoodImage(image, raw);
  });

  test('is the unread rest of a file', async () => {
    writeFileSync(path('rest.raw'), readFileSync(small).subarray(3 * 512));
    const script = `{ dd of=/dev/null bs=512 count=3 status=none; "$0" "$@"; } < '${small}'`;
    await cliOk(['convert', '-c', '/dev/stdin', image], shell(script));
    await expectGoodImage(image, path('rest.raw'));
  });

  test('can be measured and given by --image-opts', async () => {
    const fromFile = await cliOk(['measure', '-c', raw]);
    expect(await cliOk(['measure', '-c', fifo], stream(`cat '${raw}'`))).toBe(fromFile);
    const options = ['--image-opts', `driver=raw,file.filename=${fifo}`];
    await cliOk(['convert', '-c', ...options, image], stream(`cat '${raw}'`));
    await expectGoodImage(image, raw);
  });

  test.each([
    [
      ['-f', 'qcow2', idle],
      /^'.*idle' is a stream, which can only be a raw disk: .*; save it to a file first$/,
    ],
    [[raw, idle], /^'.*idle' is a stream, which must be the only source; join the parts on the way/],
    [['-B', idle, '-F', 'raw', raw], /backing file .*it is a pipe; save its output to a file first$/],
    [['/dev/null'], /^Could not open '\/dev\/null': .* it is a character device$/],
    [['/dev/fd/5'], /^Could not read '\/dev\/fd\/5': it is open for writing in this process too/],
  ])('with %j is refused with what to do', async (args, line) => {
    await expectFailure(path(''), ['convert', '-c', ...args, path('new.qcow2')], line);
  });

  test.each(['info', 'check', 'map', 'compare'])('is none that %s reads', async (command) => {
    const files = command === 'compare' ? [raw, idle] : [idle];
    const { status, stderr } = await cli([command, ...files]);
    expect(status).toBe(command === 'compare' ? 2 : 1);
    expect(stderr).toMatch(/it is a pipe; save its output to a file first\n$/);
  });

  test('that no program writes to can be given up', async () => {
    const before = snapshot(path(''));
    const running = startCli(['convert', '-c', '--progress=json,0.1', idle, path('new.qcow2')]);
    onTestFinished(() => void running.child.kill('SIGKILL'));
    // Opening for writing succeeds only with a reader, which then waits for the first byte.
    let writer: number | undefined;
    await expect
      .poll(
        () => {
          try {
            writer ??= openSync(idle, constants.O_WRONLY | constants.O_NONBLOCK);
          } catch {}
          return writer;
        },
        { timeout: 30_000 },
      )
      .toBeDefined();
    running.child.kill('SIGINT');
    expect((await running.finished).status).toBe(130);
    closeSync(writer!);
    expect(snapshot(path(''))).toEqual(before);
  });
});

test('an overlay stores the clusters of the stream that differ from the backing file', async () => {
  const changed = path('changed.raw');
  const bytes = Buffer.from(content);
  bytes.fill(0, 100_000, 300_000);
  randomBytes(5000).copy(bytes, 4 * MIB);
  writeFileSync(changed, bytes);
  const flags = ['convert', '-c', '-B', raw, '-F', 'raw'];
  await cliOk([...flags, fifo, image], stream(`cat '${changed}'`));
  await expectGoodImage(image, changed);
  expect(statSync(image).size).toBeLessThan(600 * KIB);
});

describe('-o size=', () => {
  const disk = path('sized.raw');
  beforeAll(() => writeFileSync(disk, Buffer.concat([textBytes(2_999_999), Buffer.from([0x5a])])));

  test('equal to the length of the stream gives that disk', async () => {
    await cliOk(['convert', '-c', '-o', 'size=3000000', fifo, image], stream(`cat '${disk}'`));
    await expectGoodImage(image, disk);
    await cliOk(['convert', '-c', '-o', 'size=1M', fifo, image], stream(`head -c 1M '${disk}'`));
    expect((await qemuImg.info(image)).virtualSize).toBe(MIB);
    await cliOk(['convert', '-c', '-o', 'size=0', fifo, image], stream(':'));
    expect((await qemuImg.info(image)).virtualSize).toBe(0);
  });

  test.each(
    sample(
      [
        ['3000001', '-c -O qcow2', /^'[^']+' ended after 3000000 bytes: 3000001 were expected/],
        ['64M', '-O qcow2', /^'[^']+' ended after 3000000 bytes: 67108864 were expected/],
        ['3M', '-O raw', /^'[^']+' ended after 3000000 bytes: 3145728 were expected/],
        ['2999999', '-c -O qcow2', /^'[^']+' has more bytes: 2999999 were expected/],
        ['2M', '-O qcow2', /^'[^']+' has more bytes: 2097152 were expected/],
        ['0', '-O raw', /^'[^']+' has more bytes: 0 were expected/],
      ] as const,
      2,
    ),
  )('%s is not the length of the stream, which is refused with %s', async (size, flags, line) => {
    writeFileSync(path('old'), 'what was there before');
    for (const target of [path('new'), path('old')]) {
      const args = ['convert', ...flags.split(' '), '-o', `size=${size}`, fifo, target];
      await expectFailure(path(''), args, line, stream(`cat '${disk}'`));
    }
  });

  test('finds out when the writer died', async () => {
    const dying = `{ sh -c 'head -c 1000000 "${disk}"; kill -9 $$'; true; } 2> /dev/null`;
    const args = ['convert', '-c', '-o', 'size=3000000', fifo, path('new.qcow2')];
    await expectFailure(path(''), args, /ended after 1000000 bytes/, stream(dying));
  });
});

describe('a stream that looks like a qcow2 image', () => {
  const inner = path('inner.qcow2');
  beforeAll(() => qemuImg.convert([], [raw], inner));

  test('is refused', async () => {
    const line = /^'[^']+' looks like a qcow2 image/;
    for (const flags of [['-c'], ['-O', 'raw']]) {
      const args = ['convert', ...flags, fifo, path('new.qcow2')];
      await expectFailure(path(''), args, line, stream(`cat '${inner}'`));
    }
  });

  test('is a disk like any other with -f raw', async () => {
    await cliOk(['convert', '-c', '-f', 'raw', fifo, image], stream(`cat '${inner}'`));
    await expectGoodImage(image, inner);
  });
});

test.each(
  sample(
    [
      ['-f qcow2', ['-f', 'qcow2', '-'], /^'standard input' is a stream, which can only be a raw disk/],
      ['a first source', [raw, '-'], /^'standard input' is a stream, which must be the only source/],
      ['itself again', ['-', '-'], /^'standard input' is a stream, which must be the only source/],
      ['a snapshot', ['-l', 'one', '-'], /snapshot.*'standard input' is a stream of a raw disk/],
      ['bitmaps', ['--bitmaps', '-'], /^Source lacks bitmap support/],
    ] as const,
    2,
  ),
)('standard input with %s is refused', async (_, args, line) => {
  await expectFailure(path(''), ['convert', '-c', ...args, path('new.qcow2')], line, piped(`cat '${raw}'`));
});

test('a file of the name - can be converted', async () => {
  copyFileSync(raw, path('-'));
  await cliOk(['convert', '-c', './-', image], { cwd: path('') });
  await expectGoodImage(image, raw);
  rmSync(path('-'));
});

test('a directory and a terminal as standard input are refused', async () => {
  const args = ['convert', '-c', '-', path('new.qcow2')];
  await expectFailure(
    path(''),
    args,
    /^Could not read 'standard input': .*a directory$/,
    redirected("< '/'"),
  );
  const command = `'${process.execPath}' '${ROOT}bin/qcow2c.js' ${args.join(' ')}`;
  const { status, stdout } = await run('script', ['-qec', command, '/dev/null']);
  expect(status).toBe(1);
  expect(stdout).toMatch(/Could not read 'standard input': .*a terminal/);
  expect(existsSync(path('new.qcow2'))).toBe(false);
});

test('a stream that cannot be read further is an error with the offset', async () => {
  const under = [...injecting('read', 'error=EIO:when=3', ['-P', raw]), ...redirected(`< '${raw}'`).under!];
  const line = /^Could not read 'standard input' at offset 2097152: Input\/output error$/;
  const args = ['convert', '-c', '-', path('new.qcow2')];
  await expectFailure(path(''), args, line, { under, env: ONE_THREAD });
});

test('progress is shown without a total', async () => {
  const json = await cli(['convert', '-c', '--progress=json,0.1', fifo, image], stream(`cat '${raw}'`));
  expect(json).toMatchObject({ status: 0, stdout: '' });
  const lines = json.stderr
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  const running = lines.slice(0, -1);
  expect(running.length).toBeGreaterThan(0);
  for (const line of running)
    expect(line).toMatchObject({ state: 'running', percent: null, guestBytes: null });
  const done = lines.map(({ guestBytesDone }) => guestBytesDone);
  expect(done).toEqual([...done].sort((a, b) => a - b));
  expect(lines.at(-1)).toMatchObject({ state: 'done', percent: 100, guestBytesDone: DISK_SIZE });

  const { status, stdout, stderr } = await cli(['convert', '-c', '-p', fifo, image], stream(`cat '${raw}'`));
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  expect(stdout).toBe('    (0.00/100%)\r    (100.00/100%)\r\n');

  const sized = ['convert', '-c', '-p', '-o', `size=${content.length}`, fifo, image];
  expect((await cliOk(sized, stream(`cat '${raw}'`))).split('\r').length).toBeGreaterThan(4);
});

longTest('memory does not grow with the stream', async () => {
  const report = 'process.on("exit",()=>console.log(process.resourceUsage().maxRSS))';
  const nodeOptions = ['--import', `data:text/javascript,${encodeURIComponent(report)}`];
  const command = `{ head -c 16M /dev/zero; yes 'a line of text' | head -c 112M; }`;
  const stdout = await cliOk(['convert', '-c', '-', image], { ...piped(command), nodeOptions });
  expect(Number(stdout) / 1024).toBeLessThan(200);
  expect((await qemuImg.info(image)).virtualSize).toBe(128 * MIB);
});

describe('SIGTERM while the writer lives and writes nothing', () => {
  /** Its pipe stays open as long as qcow2c runs, whose number `exec` leaves the same. */
  const idle = (first: string) => `< <(exec 2> /dev/null; ${first}; exec tail --pid=$$ -f /dev/null)`;

  /** Resolves when a line of progress matches; throws when the run ends before. */
  async function untilLine({ child, finished }: Running, line: RegExp): Promise<void> {
    let text = '';
    const found = new Promise<void>((resolve) => {
      child.stderr?.on('data', (piece: string) => {
        text += piece;
        if (line.test(text)) resolve();
      });
    });
    const early = finished.then((outcome) => Promise.reject(new Error(JSON.stringify(outcome))));
    early.catch(() => {});
    await Promise.race([found, early]);
  }

  // One thread has at most four work items of 2 MiB in flight, and nine are whole: after the sixth it waits.
  test.each([['after some of the disk', `head -c 20000000 /dev/urandom`, /"guestBytesDone":12582912/]])(
    '%s ends the conversion, and leaves nothing',
    async (_, first, line) => {
      const before = snapshot(path(''));
      const running = startCli(['convert', '-c', '-m', '1', '--progress=json,0.1', '-', path('new.qcow2')], {
        under: ['bash', '-c', `exec "$0" "$@" ${idle(first)}`],
      });
      onTestFinished(() => void running.child.kill('SIGKILL'));
      await untilLine(running, line);
      expect(snapshot(path('')).length).toBe(before.length + 1);
      running.child.kill('SIGTERM');
      const { status, stderr } = await running.finished;
      expect(status).toBe(143);
      expect(stderr).toMatch(/^qcow2c: .*new\.qcow2'.*SIGTERM/m);
      expect(snapshot(path(''))).toEqual(before);
    },
  );
});
