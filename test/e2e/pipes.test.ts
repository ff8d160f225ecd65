/** An image into a pipe, as a user of a shell sends it: what arrives, what else is printed and opened, and every end. */
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { type Running, run, runOk } from '../oracle/run.js';
import { readTrace, underStrace } from '../oracle/strace.js';
import { longTest, shortened } from '../stage.js';
import { type CliOptions, cli, cliOk, startCli } from './cli.js';
import { snapshot } from './failures.js';
import { expectGoodImage } from './judge.js';
import { cliWithPeak } from './peak-memory.js';
import { useScratch } from './scratch.js';
import { slowReads } from './slow-run.js';
import { makeTebibyteDisk, patchworkBytes, randomBytes, textBytes } from './source-images.js';

const path = useScratch();
const raw = path('disk.raw');
const file = path('file.qcow2');
const image = path('image.qcow2');
const MIB = 2 ** 20;

beforeAll(async () => {
  // One work item, which needs no thread: most runs here are processes.
  writeFileSync(raw, Buffer.concat([patchworkBytes(MIB), textBytes(MIB / 2), Buffer.alloc(MIB / 2)]));
  await cliOk(['convert', '-c', raw, file]);
  await expectGoodImage(file, raw);
});

/** Runs qcow2c with a redirection of its descriptors, or before a pipe. */
const shell = (rest: string): CliOptions => ({
  under: ['bash', '-c', `set -o pipefail; "$0" "$@" ${rest}`],
});

describe('the bytes of the file go', () => {
  test.each(
    shortened(
      [
        ['-', `| cat > '${image}'`],
        ['/dev/fd/5', `5> '${image}'`],
        ['/proc/self/fd/5', `5> >(cat > '${image}'); wait $!`],
      ] as const,
      2,
    ),
  )('to %s %s', async (target, rest) => {
    await cliOk(['convert', '-c', raw, target], shell(rest));
    await runOk('cmp', [image, file]);
  });

  test('to a named pipe', async () => {
    const fifo = path('fifo');
    await runOk('mkfifo', [fifo]);
    const reading = run('cp', ['--copy-contents', fifo, image]);
    await cliOk(['convert', '-c', raw, fifo]);
    await reading;
    await runOk('cmp', [image, file]);
  });

  test('after what the descriptor has written before', async () => {
    writeFileSync(image, 'before');
    await cliOk(['convert', '-c', raw, '/dev/stdout'], shell(`>> '${image}'`));
    expect(readFileSync(image).subarray(6).equals(readFileSync(file))).toBe(true);
  });

  test('from standard input through a spool directory, in which nothing stays', async () => {
    const before = snapshot(path(''));
    await cliOk(
      ['convert', '-c', '--spool', path(''), '--verify', '-', '-'],
      shell(`< <(cat '${raw}') > '${image}'`),
    );
    await runOk('cmp', [image, file]);
    expect(snapshot(path('')).length).toBe(before.length);
  });
});

longTest('no file is opened for writing, and nothing is made', async () => {
  const log = path('trace');
  const before = snapshot(path(''));
  await cliOk(['convert', '-c', raw, '-'], {
    under: ['bash', '-c', '"$0" "$@" | cat > /dev/null', ...underStrace(log)],
  });
  const opened = (await readTrace(log)).filter(({ name }) => name === 'openat');
  const forWriting = opened.filter(({ args: [, , flags = ''] }) => /O_WRONLY|O_RDWR|O_CREAT/.test(flags));
  expect(opened.length).toBeGreaterThan(10);
  expect(forWriting.map(({ args }) => args[1])).toEqual([]);
  expect(snapshot(path('')).length).toBe(before.length + 1);
});

longTest('1 TiB is sent with less than 200 MiB of memory', async () => {
  const [disk, fifo] = [path('tebibyte.raw'), path('tebibyte.fifo')];
  await makeTebibyteDisk(disk);
  await runOk('mkfifo', [fifo]);
  const reading = run('cp', ['--copy-contents', fifo, image]);
  const { status, stderr, peak } = await cliWithPeak(['convert', '-c', disk, fifo], path('peak'));
  await reading;
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  await expectGoodImage(image, disk);
  expect(peak / 1024).toBeLessThan(200);
});

/** Resolves once the second pass has stored data. */
async function untilWriting({ child, finished }: Running): Promise<void> {
  let text = '';
  const writing = new Promise<void>((resolve) => {
    child.stderr?.on('data', (chunk: string) => {
      text += chunk;
      if (/"phase":"write".*"guestBytesDone":[1-9]/.test(text)) resolve();
    });
  });
  await Promise.race([writing, finished.then((outcome) => Promise.reject(new Error(outcome.stderr)))]);
}

longTest(
  'a source that changes in the second pass is an error, and what arrived is no whole image to any check',
  async () => {
    const noise = path('changing.raw');
    writeFileSync(noise, randomBytes(32 * MIB));
    const [bash, ...rest] = shell(`> '${image}'`).under as string[];
    const running = startCli(['convert', '-c', '--progress=json,0.1', '-f', 'raw', noise, '-'], {
      under: [bash as string, ...rest, ...slowReads(noise)],
    });
    await untilWriting(running);
    appendFileSync(noise, 'more');
    const { status, stderr } = await running.finished;
    const lines = stderr.trimEnd().split('\n');
    expect({ status, last: lines.at(-1) }).toEqual({
      status: 1,
      last: expect.stringMatching(/^qcow2c: '.*changing\.raw' became 33554436 bytes long/),
    });
    expect(statSync(image).size).toBeGreaterThan(MIB);
    for (const program of ['qemu-img', 'qcow2c']) {
      const args = ['check', image];
      const { status } = program === 'qcow2c' ? await cli(args) : await run(program, args);
      expect([program, status]).toEqual([program, 2]);
    }
  },
);

describe('the end', () => {
  test('is silent if the reader closes the pipe, with the exit code of a broken pipe', async () => {
    for (const format of shortened(['qcow2', 'raw'], 1)) {
      const outcome = await cli(['convert', '-O', format, raw, '-'], shell('| head -c 1000 | wc -c'));
      expect(outcome).toMatchObject({ status: 141, stdout: '1000\n', stderr: '' });
    }
  });

  test('is a refusal on a terminal, before anything is written', async () => {
    const command = `${process.execPath} bin/qcow2c.js convert -c ${raw} -`;
    const { stdout, status } = await run('script', ['-qec', command, '/dev/null']);
    expect(stdout).toMatch(/^qcow2c: Refusing to write an image to a terminal: [^\n]*\r\n$/);
    expect(status).toBe(1);
  });

  test.each(
    shortened(
      [
        ['/dev/stderr', "2> 'IMAGE'"],
        ['-', "2>&1 | cat > 'IMAGE'"],
        ['/proc/self/fd/5', "5>&2 2> 'IMAGE' 5>&2"],
      ] as const,
      1,
    ),
  )('is a refusal where standard error would mix messages into the image: %s %s', async (target, rest) => {
    const { status } = await cli(['convert', '-c', '-v', raw, target], shell(rest.replace('IMAGE', image)));
    expect(status).toBe(1);
    expect(readFileSync(image, 'utf8')).toMatch(
      /^qcow2c: Refusing to write an image to '[^']+': standard error goes there too, [^\n]*\n$/,
    );
  });

  test('comes at a signal, also while the reader does not read', async () => {
    const noise = path('noise.raw');
    writeFileSync(noise, randomBytes(8 * MIB));
    const running = startCli(['convert', '-c', '--progress=json,0.1', noise, '-']);
    running.child.stdout?.pause();
    await untilWriting(running);
    running.child.kill('SIGTERM');
    running.child.stdout?.resume();
    const { status, stderr } = await running.finished;
    expect(status).toBe(143);
    expect(stderr.trimEnd().split('\n').at(-1)).toBe(
      "qcow2c: Conversion to 'standard output' stopped by SIGTERM",
    );
  });
});
