/** Outputs that are written from start to end: their names, their opening, and the bytes that their reader gets. */
import * as fs from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, onTestFinished, test } from 'vitest';
import { OutputStream } from '../../src/storage/output-stream.js';
import { RateLimit } from '../../src/storage/rate-limit.js';
import { isOutputStreamName } from '../../src/storage/stream-name.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';
import { Collector, Stuck } from './collector.js';
import { stateOf, turn } from './promise-state.js';

const path = useScratch();
const BYTES = randomBytes(700_000);

async function makeFifo(name: string): Promise<string> {
  await runOk('mkfifo', [path(name)]);
  return path(name);
}

/** The reading end of a named pipe. Without it the pipe has no reader. */
function openReader(fifo: string): number {
  const descriptor = fs.openSync(fifo, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  let isOpen = true;
  onTestFinished(() => {
    if (isOpen) fs.closeSync(descriptor);
    isOpen = false;
  });
  return descriptor;
}

/** Reads a named pipe to its end, without blocking. */
async function readAll(descriptor: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  const buffer = Buffer.alloc(65_536);
  for (;;) {
    try {
      const count = fs.readSync(descriptor, buffer, 0, buffer.length, null);
      if (count === 0) return Buffer.concat(parts);
      parts.push(Buffer.from(buffer.subarray(0, count)));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error;
    }
    await turn();
  }
}

async function writeAll(output: OutputStream): Promise<void> {
  await output.write(BYTES);
  await output.writeZeros(300_000);
  await output.write(BYTES.subarray(0, 1));
  await output.end();
}

const WRITTEN = Buffer.concat([BYTES, Buffer.alloc(300_000), BYTES.subarray(0, 1)]);

describe('a name', () => {
  test('of a named pipe or of an own descriptor is an output stream', async () => {
    fs.writeFileSync(path('file'), '');
    const names = ['/dev/stdout', '/dev/fd/1', '/proc/self/fd/7', await makeFifo('named')];
    for (const name of names) expect([name, await isOutputStreamName(name)]).toEqual([name, true]);
    for (const name of [path('file'), path('missing'), path(''), '/dev/null', '-', '']) {
      expect([name, await isOutputStreamName(name)]).toEqual([name, false]);
    }
  });
});

describe('every byte comes in order, and then the end', () => {
  test('through a named pipe', async () => {
    const fifo = await makeFifo('pipe');
    const reader = openReader(fifo);
    const output = await OutputStream.open(fifo, undefined);
    const [found] = await Promise.all([readAll(reader), writeAll(output)]);
    expect(found.equals(WRITTEN)).toBe(true);
    expect(output.writtenBytes).toBe(WRITTEN.length);
  });

  test('through a descriptor of a pipe that others share: it goes on to block, and is closed', async () => {
    const fifo = await makeFifo('shared');
    const reader = openReader(fifo);
    const shared = fs.openSync(fifo, 'w');
    const output = await OutputStream.open({ stream: shared }, undefined);
    const flags = fs.readFileSync(`/proc/self/fdinfo/${shared}`, 'latin1');
    expect(Number.parseInt(/^flags:\t([0-7]+)$/m.exec(flags)![1]!, 8) & fs.constants.O_NONBLOCK).toBe(0);
    const [found] = await Promise.all([readAll(reader), writeAll(output)]);
    expect(found.equals(WRITTEN)).toBe(true);
    expect(() => fs.fstatSync(shared)).toThrow('EBADF');
  });

  test('through a socket', async () => {
    const server = createServer();
    const name = path('socket');
    await new Promise<void>((resolve) => server.listen(name, resolve));
    onTestFinished(() => void server.close());
    const connected = new Promise<Socket>((resolve) => server.once('connection', resolve));
    const { connect } = await import('node:net');
    const client = connect(name);
    const socket = await connected;
    const stream = new Collector();
    client.pipe(stream);
    await writeAll(await OutputStream.open({ stream: socket }, undefined));
    await new Promise((resolve) => stream.once('finish', resolve));
    expect(stream.bytes.equals(WRITTEN)).toBe(true);
  });

  test('into a file from the place of its descriptor on, which is closed', async () => {
    const descriptor = fs.openSync(path('tail'), 'w');
    fs.writeSync(descriptor, 'before');
    await writeAll(await OutputStream.open(`/dev/fd/${descriptor}`, undefined));
    expect(fs.readFileSync(path('tail')).equals(Buffer.concat([Buffer.from('before'), WRITTEN]))).toBe(true);
    expect(() => fs.fstatSync(descriptor)).toThrow('EBADF');
  });

  test('into a Writable that keeps its chunks', async () => {
    const stream = new PassThrough({ highWaterMark: 2 ** 21 });
    const memory = Uint8Array.from(BYTES);
    const output = await OutputStream.open({ stream }, undefined);
    await output.write(memory);
    memory.fill(0);
    await output.end();
    expect(Buffer.concat(await stream.toArray()).equals(BYTES)).toBe(true);
  });
});

describe('a write', () => {
  test('waits for a slow reader', async () => {
    const stream = new Stuck({ highWaterMark: 1 });
    const output = await OutputStream.open({ stream }, undefined);
    const writing = output.write(BYTES.subarray(0, 10));
    expect(await stateOf(writing)).toBe('waiting');
    stream.release();
    await writing;
    expect(stream.bytes).toBe(10);
  });

  test('through a pipe is given up at the signal, and closes it', async () => {
    const fifo = await makeFifo('stuck');
    const reader = openReader(fifo);
    const controller = new AbortController();
    const output = await OutputStream.open(fifo, controller.signal);
    const writing = output.write(randomBytes(2 ** 20));
    await turn();
    expect(await stateOf(writing)).toBe('waiting');
    controller.abort(new Error('enough'));
    await expect(writing).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect(output.write(BYTES)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    expect((await readAll(reader)).length).toBeLessThan(2 ** 20);
  });

  test('to a pipe whose reader is gone fails with EPIPE', async () => {
    const fifo = await makeFifo('broken');
    const reader = fs.openSync(fifo, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
    const output = await OutputStream.open(fifo, undefined);
    await output.write(BYTES.subarray(0, 512));
    fs.closeSync(reader);
    const error = { code: 'ERR_IO', systemCode: 'EPIPE', file: fifo, offset: 512 };
    await expect(output.write(BYTES)).rejects.toMatchObject(error);
    await expect(output.end()).rejects.toMatchObject(error);
  });

  test('to a full device fails with its reason', async () => {
    const descriptor = fs.openSync('/dev/full', 'w');
    const output = await OutputStream.open({ stream: descriptor, name: 'full' }, undefined);
    await expect(output.write(BYTES)).rejects.toMatchObject({
      systemCode: 'ENOSPC',
      file: 'full',
      offset: 0,
    });
    await output[Symbol.asyncDispose]();
  });

  test('to a Writable that closes early fails, and no later error of it is unhandled', async () => {
    const stream = new Writable({ highWaterMark: 1, write: () => {} });
    const output = await OutputStream.open({ stream }, undefined);
    const writing = output.write(BYTES);
    await turn();
    stream.destroy();
    await expect(writing).rejects.toMatchObject({ code: 'ERR_IO' });
    stream.emit('error', new Error('late'));
  });

  test('to a Writable that emits no error as its error fails at the end, too', async () => {
    const stream = new Writable({ autoDestroy: false, write: (_, __, done) => done(), final: () => {} });
    const output = await OutputStream.open({ stream }, undefined);
    await output.write(BYTES);
    const ending = output.end();
    expect(await stateOf(ending)).toBe('waiting');
    stream.emit('error', null);
    await expect(ending).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringMatching(/without an error/),
    });
  });

  test('that is the last is given up at the signal, too', async () => {
    const stream = new Writable({ write: (_, __, done) => done(), final: () => {} });
    const controller = new AbortController();
    const output = await OutputStream.open({ stream }, controller.signal);
    await output.write(BYTES);
    const ending = output.end();
    expect(await stateOf(ending)).toBe('waiting');
    controller.abort();
    await expect(ending).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  });

  test('keeps to the rate', async () => {
    const stream = new Collector();
    const output = await OutputStream.open({ stream }, undefined);
    const waits: number[] = [];
    let time = 0;
    const sleep = async (milliseconds: number) => {
      waits.push(milliseconds);
      time += milliseconds;
    };
    output.limitRate(new RateLimit(1_000_000, { now: () => time, sleep }));
    await output.write(BYTES);
    await output.writeZeros(400_000);
    expect(time).toBeGreaterThan(700);
    expect(time).toBeLessThanOrEqual(1100);
  });
});

test('a named pipe is opened once it has a reader, or not at all after the signal', async () => {
  const fifo = await makeFifo('lonely');
  const controller = new AbortController();
  const opening = OutputStream.open(fifo, controller.signal);
  expect(await stateOf(opening)).toBe('waiting');
  controller.abort();
  await expect(opening).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  const again = OutputStream.open(fifo, undefined);
  const reader = openReader(fifo);
  const output = await again;
  const [found] = await Promise.all([readAll(reader), writeAll(output)]);
  expect(found.equals(WRITTEN)).toBe(true);
});

describe('nothing is opened', () => {
  test.each([
    ['a directory', '/', fs.constants.O_RDONLY, { code: 'ERR_IO', systemCode: 'EISDIR' }],
    [
      'a file that is open for reading',
      '/etc/passwd',
      fs.constants.O_RDONLY,
      { code: 'ERR_IO', systemCode: 'EBADF' },
    ],
    [
      'a terminal',
      '/dev/ptmx',
      fs.constants.O_RDWR | fs.constants.O_NOCTTY,
      { code: 'ERR_UNSUPPORTED', found: 'a terminal' },
    ],
  ])('on %s', async (_, file, flags, error) => {
    const stream = fs.openSync(file, flags);
    onTestFinished(() => fs.closeSync(stream));
    await expect(OutputStream.open({ stream }, undefined)).rejects.toMatchObject(error);
  });

  test('on a descriptor that is not open', async () => {
    await expect(OutputStream.open('/dev/fd/99999', undefined)).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'EBADF',
      file: '/dev/fd/99999',
    });
  });

  test.each([
    ['is in object mode', () => new Writable({ objectMode: true }), 'object mode'],
    ['has ended', () => new Collector().end(), 'has ended'],
    ['is destroyed', () => new Collector().destroy(), 'destroyed'],
  ])('on a Writable that %s', async (_, make, reason) => {
    const stream = make();
    await expect(OutputStream.open({ stream }, undefined)).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: expect.stringContaining(reason),
    });
  });
});

test('an output that is given up closes its descriptor and leaves a Writable alone', async () => {
  const descriptor = fs.openSync(path('given-up'), 'w');
  const [file, stream] = [await OutputStream.open({ stream: descriptor }, undefined), new Collector()];
  const writable = await OutputStream.open({ stream }, undefined);
  for (const output of [file, writable]) {
    await output.write(BYTES);
    await output[Symbol.asyncDispose]();
    await expect(output.write(BYTES)).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  }
  expect([stream.destroyed, stream.writableEnded]).toEqual([false, false]);
  await expect.poll(() => fs.existsSync(`/proc/self/fd/${descriptor}`)).toBe(false);
});
