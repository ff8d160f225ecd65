/** Which names refer to a stream, and how the stream is opened. */
import * as fs from 'node:fs';
import { describe, expect, onTestFinished, test } from 'vitest';
import { isStreamName, openNamedStream } from '../../src/raw/named-stream.js';
import { useScratch } from '../e2e/scratch.js';
import { runOk } from '../oracle/run.js';

const path = useScratch();

/** A descriptor that is closed after the test. */
function open(file: string, flags: string): number {
  const descriptor = fs.openSync(file, flags);
  onTestFinished(() => fs.closeSync(descriptor));
  return descriptor;
}

async function makeFifo(name: string): Promise<string> {
  await runOk('mkfifo', [path(name)]);
  return path(name);
}

describe('a name', () => {
  test('of a named pipe refers to a stream, also through a symbolic link', async () => {
    const fifo = await makeFifo('fifo');
    fs.symlinkSync(fifo, path('link'));
    expect([await isStreamName(fifo), await isStreamName(path('link'))]).toEqual([true, true]);
  });

  test('of a file, a directory, a device or a missing file does not', async () => {
    fs.writeFileSync(path('file'), 'x');
    for (const name of [path('file'), path('missing'), path(''), path('file/below'), '/dev/null', '', '-']) {
      expect([name, await isStreamName(name)]).toEqual([name, false]);
    }
  });

  test('of an own descriptor does if it is a pipe', async () => {
    const descriptor = open(await makeFifo('behind'), 'r+');
    for (const name of [`/dev/fd/${descriptor}`, `/proc/self/fd/${descriptor}`]) {
      expect([name, await isStreamName(name)]).toEqual([name, true]);
    }
    expect(await isStreamName(`/dev/fd/${descriptor}0`)).toBe(false);
    expect(await isStreamName('/dev/fd/99999')).toBe(false);
  });

  test('of an own descriptor of a file does once bytes were read from it', async () => {
    fs.writeFileSync(path('read'), 'a disk');
    const descriptor = open(path('read'), 'r');
    const name = `/dev/fd/${descriptor}`;
    expect(await isStreamName(name)).toBe(false);
    fs.readSync(descriptor, new Uint8Array(1));
    expect(await isStreamName(name)).toBe(true);
    expect(await openNamedStream(name)).toEqual({ stream: descriptor, name });
  });
});

test('a named pipe is opened at once, even without a writer', async () => {
  const fifo = await makeFifo('alone');
  const { stream, name } = await openNamedStream(fifo);
  expect([name, fs.fstatSync(stream).isFIFO()]).toEqual([fifo, true]);
  fs.closeSync(stream);
});

test('a pipe that is open for writing in this process is refused: it would never end', async () => {
  const fifo = await makeFifo('both');
  const writer = open(fifo, 'r+');
  const descriptors = fs.readdirSync('/proc/self/fd').length;
  for (const name of [fifo, `/dev/fd/${writer}`]) {
    await expect(openNamedStream(name)).rejects.toThrow(
      expect.objectContaining({
        code: 'ERR_UNSUPPORTED',
        file: name,
        message: `Could not read '${name}': it is open for writing in this process too, so it would never end`,
      }),
    );
  }
  expect(fs.readdirSync('/proc/self/fd').length).toBe(descriptors);
});

test('a missing file is a system error', async () => {
  await expect(openNamedStream(path('missing'))).rejects.toThrow(
    expect.objectContaining({ code: 'ERR_IO', systemCode: 'ENOENT' }),
  );
});
