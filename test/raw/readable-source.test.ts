/** A disk from a Readable of Node.js: every byte in order, no more buffered than asked for, an error for every loss. */
import { once } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StreamSource } from '../../src/raw/stream-source.js';
import { randomBytes } from '../e2e/source-images.js';
import { stateOf } from '../storage/promise-state.js';

const name = 'upload';
const MIB = 1024 * 1024;

async function readWhole(source: StreamSource, length: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  for (;;) {
    const memory = new Uint8Array(length);
    const count = await source.fill(memory);
    parts.push(Buffer.from(memory.subarray(0, count)));
    if (count < length) break;
  }
  expect(await source.fill(new Uint8Array(10))).toBe(0);
  return Buffer.concat(parts);
}

test('every byte comes in order for all sizes of chunks and memory', async () => {
  const sizes = fc.array(fc.integer({ min: 0, max: 5000 }), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(sizes, fc.integer({ min: 1, max: 9000 }), async (chunks, length) => {
      const content = chunks.map((size, seed) => randomBytes(size, seed));
      const source = StreamSource.open({ stream: Readable.from(content, { objectMode: false }), name });
      expect(Buffer.compare(await readWhole(source, length), Buffer.concat(content))).toBe(0);
    }),
  );
});

test('reads from a fast stream only the requested bytes and a small buffer', async () => {
  let produced = 0;
  const stream = new Readable({
    highWaterMark: 64 * 1024,
    read(size) {
      produced += size;
      this.push(Buffer.alloc(size));
    },
  });
  const source = StreamSource.open({ stream, name });
  expect(await source.fill(new Uint8Array(MIB))).toBe(MIB);
  await new Promise((resolve) => setImmediate(resolve));
  expect(produced).toBeLessThanOrEqual(MIB + 3 * 64 * 1024);
  stream.destroy();
});

test('waits for a slow stream', async () => {
  const stream = new PassThrough();
  const source = StreamSource.open({ stream, name });
  const filled = source.fill(new Uint8Array(6));
  stream.write('abc');
  expect(await stateOf(filled)).toBe('waiting');
  stream.write('def');
  expect(await filled).toBe(6);
});

describe('an error', () => {
  test('of the stream ends the reading, with the stream’s error as its cause', async () => {
    const stream = new PassThrough();
    const source = StreamSource.open({ stream, name });
    stream.write('abc');
    expect(await source.fill(new Uint8Array(3))).toBe(3);
    const cause = new Error('the upload broke off');
    stream.destroy(cause);
    await expect(source.fill(new Uint8Array(3))).rejects.toMatchObject({
      ...{ code: 'ERR_IO', file: name, offset: 3, systemCode: undefined, cause },
      message: "Could not read 'upload' at offset 3: the upload broke off",
    });
  });

  test('comes from a stream that closes before its end', async () => {
    const stream = new PassThrough();
    const source = StreamSource.open({ stream, name });
    stream.write('abc');
    const filled = source.fill(new Uint8Array(6));
    filled.catch(() => {});
    expect(await stateOf(filled)).toBe('waiting');
    stream.destroy();
    await expect(filled).rejects.toMatchObject({
      code: 'ERR_IO',
      message: expect.stringMatching(/Premature close/),
    });
  });

  test.each([null, undefined])('comes from a stream that emits %s as its error', async (nothing) => {
    const stream = new PassThrough({ autoDestroy: false });
    const source = StreamSource.open({ stream, name });
    stream.write('abc');
    expect(await source.fill(new Uint8Array(3))).toBe(3);
    stream.emit('error', nothing);
    await expect(source.fill(new Uint8Array(3))).rejects.toMatchObject({ code: 'ERR_IO', offset: 3 });
  });

  test('comes from a stream that becomes text on the way', async () => {
    const stream = new PassThrough();
    const source = StreamSource.open({ stream, name });
    stream.setEncoding('utf8');
    stream.write('abc');
    await expect(source.fill(new Uint8Array(6))).rejects.toMatchObject({ code: 'ERR_IO' });
  });

  test('after the source is closed reaches nothing', async () => {
    const stream = new PassThrough();
    await StreamSource.open({ stream, name }).close();
    stream.destroy(new Error('late'));
    // Without a listener this would be an uncaught exception, which fails the run.
    await new Promise((resolve) => setImmediate(resolve));
  });
});

test('closing ends a pending read and does not destroy the stream', async () => {
  const stream = new PassThrough();
  const source = StreamSource.open({ stream, name });
  const filled = source.fill(new Uint8Array(6));
  filled.catch(() => {});
  await source.close();
  await expect(filled).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  await expect(source.fill(new Uint8Array(6))).rejects.toMatchObject({ code: 'ERR_ABORTED' });
  expect(stream.destroyed).toBe(false);
  stream.end();
});

describe('a stream is refused', () => {
  const failed = () => {
    const stream = new PassThrough();
    stream.on('error', () => {});
    return stream.destroy(new Error('gone'));
  };
  const partlyRead = async () => {
    const stream = Readable.from([Buffer.from('abc')], { objectMode: false });
    await once(stream, 'readable');
    stream.read(1);
    return stream;
  };
  test.each<[string, () => Readable | Promise<Readable>, RegExp]>([
    ['in object mode', () => Readable.from([{ a: 1 }]), /object mode/],
    ['with an encoding', () => new PassThrough({ encoding: 'utf8' }), /encoding/],
    ['that was destroyed', () => new PassThrough().destroy(), /destroyed/],
    ['that has failed', failed, /it has failed: gone/],
    ['that has been read from', partlyRead, /been read from/],
    ['that flows elsewhere', () => new PassThrough().on('data', () => {}), /read from elsewhere/],
    [
      'that is piped elsewhere',
      () => {
        const s = new PassThrough();
        s.pipe(new PassThrough());
        return s;
      },
      /elsewhere/,
    ],
  ])('%s', async (_, make, message) => {
    const stream = await make();
    const open = () => StreamSource.open({ stream, name });
    expect(open).toThrow(
      expect.objectContaining({ code: 'ERR_USAGE', message: expect.stringMatching(message) }),
    );
  });
});
