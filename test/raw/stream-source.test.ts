/**
 * A disk from a pipe, a socket, a file or a device: every byte in order, no more read than requested, closed at once.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import * as fs from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { build } from 'vite';
import { beforeAll, describe, expect, test } from 'vitest';
import { FileReader } from '../../src/raw/descriptor-reader.js';
import { StreamSource } from '../../src/raw/stream-source.js';
import { useScratch } from '../e2e/scratch.js';
import { randomBytes } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';
import { stateOf, turn } from '../storage/promise-state.js';

const path = useScratch();
const KIB = 1024;
/** Most bytes that a pipe buffers before its writer waits. Linux gives less to a user with many pipes. */
const PIPE_BYTES = 64 * KIB;
const name = 'standard input';
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
const sharedMemory = (length: number) => new Uint8Array(new SharedArrayBuffer(length));
const openFiles = () => fs.readdirSync('/proc/self/fd').length;

beforeAll(() => runOk('mkfifo', [path('pipe')]));

/** Both ends of a new pipe. A write waits, on its own thread, until the pipe has room for all of it. */
function openPipe(): { readEnd: number; writeEnd: number } {
  const readEnd = fs.openSync(path('pipe'), fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  return { readEnd, writeEnd: fs.openSync(path('pipe'), 'w') };
}

const write = promisify(fs.write) as (
  descriptor: number,
  bytes: Uint8Array,
) => Promise<{ bytesWritten: number }>;

async function writeAll(descriptor: number, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) at += (await write(descriptor, bytes.subarray(at))).bytesWritten;
}

/** Fills memories of these lengths in turn, up to the end of the stream. */
async function readWhole(source: StreamSource, lengths: readonly number[]): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (let turns = 0; ; turns += 1) {
    const memory = sharedMemory(lengths[turns % lengths.length]!);
    const count = await source.fill(memory);
    parts.push(Buffer.from(memory.subarray(0, count)));
    if (count < memory.length) break;
  }
  expect(await source.fill(sharedMemory(10))).toBe(0);
  return Buffer.concat(parts);
}

describe('a pipe', () => {
  test('gives the same bytes for any sizes of writes and memories', async () => {
    const length = fc.oneof(
      fc.integer({ min: 1, max: 5000 }),
      fc.integer({ min: 60_000, max: 140_000 }),
      fc.constantFrom(4096, PIPE_BYTES, 2 * PIPE_BYTES),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(length, { maxLength: 12 }),
        fc.array(length, { minLength: 1, maxLength: 4 }),
        async (writes, memories) => {
          const content = randomBytes(writes.reduce((sum, size) => sum + size, 0));
          const { readEnd, writeEnd } = openPipe();
          const source = StreamSource.open({ stream: readEnd, name });
          const read = readWhole(source, memories);
          let from = 0;
          for (const size of writes) {
            await writeAll(writeEnd, content.subarray(from, from + size));
            from += size;
          }
          fs.closeSync(writeEnd);
          const found = await read;
          expect(found.length).toBe(content.length);
          expect(found.equals(content)).toBe(true);
          await source.close();
        },
      ),
      { numRuns: 60 },
    );
  });

  test('fills the whole memory from a writer that writes many pieces', async () => {
    const { readEnd, writeEnd } = openPipe();
    const source = StreamSource.open({ stream: readEnd, name });
    const pieces = [1, 2, 3].map((seed) => randomBytes(2 * PIPE_BYTES, seed));
    const memory = sharedMemory(6 * PIPE_BYTES);
    const filled = source.fill(memory);
    for (const piece of pieces) {
      expect(await stateOf(filled)).toBe('waiting');
      // Twice the capacity of the pipe: once this is written, half of it was read.
      await writeAll(writeEnd, piece);
    }
    expect(await filled).toBe(memory.length);
    expect(Buffer.concat(pieces).equals(memory)).toBe(true);
    fs.closeSync(writeEnd);
    await source.close();
  });

  test('is read at most one buffer ahead', async () => {
    const { readEnd, writeEnd } = openPipe();
    const source = StreamSource.open({ stream: readEnd, name });
    const eager = fs.openSync(path('pipe'), fs.constants.O_WRONLY | fs.constants.O_NONBLOCK);
    let written = 0;
    const content = randomBytes(1024 * KIB);
    const asked = [0, 10, 100_000, 1];
    const memories = asked.map(sharedMemory);
    for (const memory of memories) {
      const filled = source.fill(memory);
      // While the reader still reads, some iteration of the event loop makes room.
      for (let idle = 0; idle < 20; idle += 1) {
        try {
          written += fs.writeSync(eager, content, written, 4096);
          idle = 0;
        } catch (error) {
          expect(error).toMatchObject({ code: 'EAGAIN' });
        }
        await turn();
      }
      expect(await filled).toBe(memory.length);
      const taken = memories
        .slice(0, memories.indexOf(memory) + 1)
        .reduce((sum, { length }) => sum + length, 0);
      expect(written).toBeLessThanOrEqual(taken + 64 * KIB + PIPE_BYTES);
    }
    expect(Buffer.concat(memories).equals(content.subarray(0, 100_011))).toBe(true);
    fs.closeSync(eager);
    fs.closeSync(writeEnd);
    expect((await readWhole(source, [70_000])).equals(content.subarray(100_011, written))).toBe(true);
    await source.close();
  });

  test('without a writer is empty', async () => {
    const { readEnd, writeEnd } = openPipe();
    fs.closeSync(writeEnd);
    const source = StreamSource.open({ stream: readEnd, name });
    expect(source).toMatchObject({ name, total: undefined });
    expect(await source.fill(sharedMemory(100))).toBe(0);
    expect(await source.fill(sharedMemory(100))).toBe(0);
    await source.close();
  });

  test('ends where its writer was killed', async () => {
    const { readEnd, writeEnd } = openPipe();
    const source = StreamSource.open({ stream: readEnd, name });
    const writer = spawn('sh', ['-c', 'printf "some words"; kill -9 $$'], {
      stdio: ['ignore', writeEnd, 'ignore'],
    });
    fs.closeSync(writeEnd);
    const memory = sharedMemory(100);
    expect(await source.fill(memory)).toBe(10);
    expect(Buffer.from(memory.subarray(0, 10)).toString()).toBe('some words');
    expect(writer.pid).toBeGreaterThan(0);
    await source.close();
  });

  test('fails a pending fill at once when it is closed, and every later one', async () => {
    const before = openFiles();
    const { readEnd, writeEnd } = openPipe();
    const source = StreamSource.open({ stream: readEnd, name });
    const filled = source.fill(sharedMemory(100));
    expect(await stateOf(filled)).toBe('waiting');
    await source.close();
    await expect(filled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await expect(source.fill(sharedMemory(100))).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await source.close();
    fs.closeSync(writeEnd);
    await turn();
    expect(openFiles()).toBe(before);
  });

  test('is closed once at its end', async () => {
    const before = openFiles();
    const { readEnd, writeEnd } = openPipe();
    const source = StreamSource.open({ stream: readEnd, name });
    fs.closeSync(writeEnd);
    expect(await source.fill(sharedMemory(1))).toBe(0);
    await turn();
    const reused = fs.openSync('/dev/null', 'r');
    await source.close();
    await turn();
    fs.closeSync(reused);
    expect(openFiles()).toBe(before);
  });
});

describe('a file', () => {
  const content = randomBytes(300_000);
  const file = path('disk.raw');
  beforeAll(() => writeFile(file, content));

  test('is read from its descriptor’s position, and reports the bytes left', async () => {
    const descriptor = fs.openSync(file, 'r');
    fs.readSync(descriptor, Buffer.alloc(1000), 0, 1000, null);
    const source = StreamSource.open({ stream: descriptor, name });
    expect(source.total).toBe(299_000);
    expect((await readWhole(source, [100_000])).equals(content.subarray(1000))).toBe(true);
    await source.close();
  });

  test('whose descriptor is at or past its end is empty', async () => {
    const descriptor = fs.openSync(path('short.raw'), 'w+');
    fs.writeSync(descriptor, content);
    fs.ftruncateSync(descriptor, 10);
    const source = StreamSource.open({ stream: descriptor, name });
    expect(source.total).toBe(0);
    expect(await source.fill(sharedMemory(100))).toBe(0);
    await source.close();
  });

  test('fails the fill when it is closed during a read, and closes its descriptor afterwards', async () => {
    const before = openFiles();
    const source = StreamSource.open({ stream: fs.openSync('/dev/zero', 'r'), name });
    const filled = expect(source.fill(sharedMemory(1024 * KIB))).rejects.toMatchObject({
      code: 'ERR_ABORTED',
    });
    await source.close();
    await source.close();
    await filled;
    expect(openFiles()).toBe(before);
  });

  test('is closed only after the pending read has returned', async () => {
    const { readEnd, writeEnd } = openPipe();
    const blocking = fs.openSync(path('pipe'), 'r');
    const reader = new FileReader(blocking);
    const filled = reader.fill(sharedMemory(10));
    const closed = reader.close();
    expect(await stateOf(closed)).toBe('waiting');
    expect(fs.fstatSync(blocking).isFIFO()).toBe(true);
    fs.writeSync(writeEnd, 'word');
    await expect(filled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
    await closed;
    expect(() => fs.fstatSync(blocking)).toThrow('EBADF');
    fs.closeSync(readEnd);
    fs.closeSync(writeEnd);
  });

  test('that cannot be read is an error with the offset', async () => {
    const descriptor = fs.openSync(path('written.raw'), 'w');
    const source = StreamSource.open({ stream: descriptor, name });
    await expect(source.fill(sharedMemory(100))).rejects.toMatchObject({
      code: 'ERR_IO',
      message: "Could not read 'standard input' at offset 0: Bad file descriptor",
      offset: 0,
      systemCode: 'EBADF',
      cause: expect.objectContaining({ code: 'EBADF' }),
    });
    await source.close();
  });
});

test('/dev/null is empty and /dev/zero fills every memory; neither reports the bytes left', async () => {
  const nothing = StreamSource.open({ stream: fs.openSync('/dev/null', 'r'), name });
  expect(nothing.total).toBeUndefined();
  expect(await nothing.fill(sharedMemory(100))).toBe(0);
  await nothing.close();
  const zeros = StreamSource.open({ stream: fs.openSync('/dev/zero', 'r'), name });
  const memory = sharedMemory(300_000).fill(1);
  expect(zeros.total).toBeUndefined();
  expect(await zeros.fill(memory)).toBe(memory.length);
  expect(memory.every((byte) => byte === 0)).toBe(true);
  await zeros.close();
});

test('a terminal and a directory are refused, and stay open', () => {
  for (const [file, found] of [
    ['/dev/ptmx', 'a terminal'],
    [path(''), 'a directory'],
  ] as const) {
    const descriptor = fs.openSync(file, fs.constants.O_RDONLY | fs.constants.O_NOCTTY);
    expect(() => StreamSource.open({ stream: descriptor, name })).toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        message: `Could not read 'standard input': a raw disk from a pipe, file or device was expected, but it is ${found}`,
      }),
    );
    fs.closeSync(descriptor);
  }
});

test('a descriptor that is not open is an error', () => {
  expect(() => StreamSource.open({ stream: 1_000_000, name })).toThrow(
    expect.objectContaining({
      code: 'ERR_IO',
      message: "Could not read 'standard input': Bad file descriptor",
      systemCode: 'EBADF',
    }),
  );
});

describe('standard input of a process', () => {
  beforeAll(async () => {
    await build({
      configFile: false,
      logLevel: 'error',
      build: {
        ssr: new URL('./read-standard-input.ts', import.meta.url).pathname,
        target: 'node20',
        outDir: path('program'),
        rollupOptions: { output: { entryFileNames: 'reader.mjs' } },
      },
    });
  });

  function start(input: number | Socket | 'pipe', args: readonly string[] = []): ChildProcess {
    return spawn(process.execPath, [path('program', 'reader.mjs'), ...args], {
      stdio: [input, 'pipe', 'inherit'],
    });
  }

  /** The output of the program, once it has ended by itself. */
  async function reportOf(child: ChildProcess): Promise<unknown> {
    let text = '';
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
    });
    await new Promise((resolve) => child.once('close', resolve));
    return JSON.parse(text);
  }

  /** O_NONBLOCK of the open file, which all processes that share it see. */
  function isNonBlocking(descriptor: number): boolean {
    const flags = /^flags:\t(\d+)$/m.exec(fs.readFileSync(`/proc/self/fdinfo/${descriptor}`, 'latin1'))?.[1];
    return (Number.parseInt(flags!, 8) & fs.constants.O_NONBLOCK) !== 0;
  }

  const content = randomBytes(3_000_001);
  const whole = { length: content.length, sha256: sha256(content) };

  test('can be a socket', async () => {
    const child = start('pipe');
    child.stdin?.end(content);
    expect(await reportOf(child)).toEqual(whole);
  });

  test('can be a file, from the middle on', async () => {
    await writeFile(path('stdin.raw'), content);
    const descriptor = fs.openSync(path('stdin.raw'), 'r');
    fs.readSync(descriptor, Buffer.alloc(1001), 0, 1001, null);
    const rest = content.subarray(1001);
    expect(await reportOf(start(descriptor))).toEqual({
      ...whole,
      total: rest.length,
      length: rest.length,
      sha256: sha256(rest),
    });
    fs.closeSync(descriptor);
  });

  test('can be a pipe, which stays in blocking mode', async () => {
    // Opening the pipe for reading and writing does not wait, so the blocking ends can then be opened in turn.
    const both = fs.openSync(path('pipe'), 'r+');
    const readEnd = fs.openSync(path('pipe'), 'r');
    const writeEnd = fs.openSync(path('pipe'), 'w');
    fs.closeSync(both);
    const child = start(readEnd);
    const report = reportOf(child);
    await writeAll(writeEnd, content);
    fs.closeSync(writeEnd);
    expect(await report).toEqual(whole);
    expect(isNonBlocking(readEnd)).toBe(false);
    fs.closeSync(readEnd);
  });

  test('can be a connection; a broken one is an error with the offset', async () => {
    const server = createServer({ pauseOnConnect: true });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [connection] = (await once(server, 'connection')) as [Socket];
    server.close();
    client.write(content.subarray(0, 1000), () => client.resetAndDestroy());
    const report = reportOf(start(connection));
    connection.destroy();
    expect(await report).toEqual({
      code: 'ERR_IO',
      message: "Could not read 'standard input' at offset 1000: Connection reset by peer",
      offset: 1000,
    });
  });

  const message = 'The operation was aborted';
  test('that is a pipe with a live writer does not keep the process alive once closed', async () => {
    const { readEnd, writeEnd } = openPipe();
    expect(await reportOf(start(readEnd, ['close']))).toEqual({ code: 'ERR_ABORTED', message });
    fs.closeSync(readEnd);
    fs.closeSync(writeEnd);
  });

  test('that is a socket with a live writer does not keep the process alive once closed', async () => {
    expect(await reportOf(start('pipe', ['close']))).toEqual({ code: 'ERR_ABORTED', message });
  });
});
