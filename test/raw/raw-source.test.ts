import * as fs from 'node:fs';
import { appendFile, truncate, utimes, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import fc from 'fast-check';
import koffi from 'koffi';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { openForReading, RawSource } from '../../src/raw/raw-source.js';
import type { Seek } from '../../src/system/seek.js';
import { useScratch } from '../e2e/scratch.js';
import { makeSparseDisk, randomBytes, TIB } from '../e2e/source-images.js';
import { runOk } from '../oracle/run.js';
import { clockTick } from './clock-tick.js';

/** The mocked system calls: a test can watch them and answer in their place. */
vi.mock('node:fs', async (original) => {
  const actual = await original<typeof import('node:fs')>();
  const watched = {
    read: vi.fn(actual.read),
    open: vi.fn(actual.open),
    fstat: vi.fn(actual.fstat),
    readSync: vi.fn(actual.readSync),
  };
  return { ...actual, ...watched, default: { ...actual, ...watched } };
});
const seek = vi.hoisted(() => ({ end: undefined as (() => number | undefined) | undefined, calls: 0 }));
vi.mock('../../src/system/seek.js', async (original) => {
  const actual = await original<typeof import('../../src/system/seek.js')>();
  const loadSeek = async () => {
    const loaded = (await actual.loadSeek()) as Seek;
    const counted = <Call extends Seek['now'] | Seek['later']>(call: Call) =>
      ((descriptor, offset, whence) => {
        seek.calls += 1;
        return call(descriptor, offset, whence);
      }) as Call;
    return { ...loaded, now: counted(loaded.now), later: counted(loaded.later) };
  };
  const seekEnd = async (descriptor: number) => (seek.end ?? (() => actual.seekEnd(descriptor)))();
  return { ...actual, loadSeek, seekEnd };
});
const actualFs = await vi.importActual<typeof import('node:fs')>('node:fs');
const path = useScratch();
const file = path('disk.raw');

afterEach(() => {
  vi.mocked(fs.read).mockReset().mockImplementation(actualFs.read);
  vi.mocked(fs.open).mockReset().mockImplementation(actualFs.open);
  vi.mocked(fs.fstat).mockReset().mockImplementation(actualFs.fstat);
  vi.mocked(fs.readSync).mockReset().mockImplementation(actualFs.readSync);
  seek.end = undefined;
});

const openFiles = () => fs.readdirSync('/proc/self/fd').length;

async function open(name = file): Promise<RawSource> {
  return RawSource.open((await openForReading(name, false)).descriptor, name);
}

/** The whole map of the source, from start to end. */
async function mapOf(source: RawSource) {
  const ranges = [];
  for (let at = 0; at < source.size; ) {
    const range = await source.map(at);
    expect(range.length).toBeGreaterThan(0);
    ranges.push({ ...range, at });
    at += range.length;
    expect(at).toBeLessThanOrEqual(source.size);
  }
  return ranges;
}

describe('the map of a file', () => {
  test.each([
    [0, 0],
    [1, 512],
    [511, 512],
    [512, 512],
    [513, 1024],
    [1_000_001, 1_000_448],
  ])('of %i bytes covers %i: whole sectors, zeros after the last byte', async (length, size) => {
    await writeFile(file, randomBytes(length));
    const source = await open();
    expect(source.size).toBe(size);
    const ranges = (await mapOf(source)).map(({ kind, at, length }) => [kind, at, length]);
    const rest = size - length;
    expect(ranges).toEqual([
      ...(length > 0 ? [['data', 0, length]] : []),
      ...(rest > 0 ? [['zero', length, rest]] : []),
    ]);
    await source.close();
  });

  test('has every nonzero byte in a data range at its own offset, for any holes', async () => {
    const layouts = fc.record({
      blocks: fc.array(fc.boolean(), { maxLength: 30 }),
      tail: fc.integer({ min: 0, max: 4095 }),
    });
    await fc.assert(
      fc.asyncProperty(layouts, async ({ blocks, tail }) => {
        const length = blocks.length * 4096 + tail;
        const parts = blocks.flatMap((isData, index) =>
          isData ? [[index * 4096, Buffer.alloc(4096, 1 + index)] as const] : [],
        );
        await makeSparseDisk(file, length, parts);
        const content = fs.readFileSync(file);
        const source = await open();
        const ranges = await mapOf(source);
        for (const range of ranges) {
          if (range.kind === 'data') expect(range.offset).toBe(range.at);
          else expect(content.subarray(range.at, range.at + range.length).every((b) => b === 0)).toBe(true);
        }
        // The map really contains holes; a map that is all data would pass the check above.
        const data = ranges.reduce((sum, { kind, length }) => sum + (kind === 'data' ? length : 0), 0);
        expect(data).toBe(parts.length * 4096);
        // The map is the same when it is asked backwards, and at any offset.
        for (const { at, length } of ranges.toReversed()) {
          const middle = at + Math.floor(length / 2);
          const [whole, part] = [await source.map(at), await source.map(middle)];
          expect([whole.kind, whole.length, part.length]).toEqual([part.kind, length, at + length - middle]);
        }
        await source.close();
      }),
      { numRuns: 40 },
    );
  });

  test('skips terabytes of hole in one call, and looks up each data range once', async () => {
    await makeSparseDisk(file, 5 * TIB, [
      [TIB, Buffer.alloc(1024 * 1024, 1)],
      [4 * TIB, Buffer.alloc(4096, 2)],
    ]);
    const source = await open();
    seek.calls = 0;
    const ranges = (await mapOf(source)).map(({ kind, length }) => [kind, length]);
    expect(ranges).toEqual([
      ['zero', TIB],
      ['data', 1024 * 1024],
      ['zero', 3 * TIB - 1024 * 1024],
      ['data', 4096],
      ['zero', TIB - 4096],
    ]);
    for (let at = TIB; at < TIB + 1024 * 1024; at += 65_536) await source.map(at);
    expect(seek.calls).toBeLessThanOrEqual(2 * 3 + 2);
    await source.close();
  });
});

describe('reading', () => {
  test.each([false, true])('reads any bytes of the file, up to its end: with O_DIRECT %s', async (direct) => {
    const places = fc.record({
      length: fc.integer({ min: 0, max: 20_000 }),
      offset: fc.oneof(fc.integer({ min: 0, max: 24_000 }), fc.constantFrom(0, 512, 4096, 8192)),
      count: fc.oneof(fc.integer({ min: 0, max: 9000 }), fc.constantFrom(512, 4096, 65_536)),
    });
    await fc.assert(
      fc.asyncProperty(places, async ({ length, offset, count }) => {
        const bytes = randomBytes(length);
        await writeFile(file, bytes);
        const opened = await openForReading(file, direct);
        const source = await RawSource.open(opened.descriptor, file, opened.direct);
        expect(source.readAlignment).toBe(opened.direct ? 4096 : 1);
        const into = Buffer.alloc(count, 0x55);
        const found = await source.read(offset, into);
        expect(found).toBe(Math.max(0, Math.min(count, length - offset)));
        const expected = Buffer.concat([
          bytes.subarray(offset, offset + count),
          Buffer.alloc(count - found, 0x55),
        ]);
        expect(into.equals(expected)).toBe(true);
        await source.close();
      }),
      { numRuns: 60 },
    );
  });

  test('continues after an interrupted or short read, and names the failed read', async () => {
    const bytes = randomBytes(10_000);
    await writeFile(file, bytes);
    const source = await open();
    const answers = ['EINTR', 100, 'EAGAIN', 1] as const;
    let calls = 0;
    const read = vi.mocked(fs.read);
    read.mockImplementation(((
      fd: number,
      into: Uint8Array,
      at: number,
      length: number,
      offset: number,
      done: (error: Error | null, count: number) => void,
    ) => {
      const answer = answers[calls++];
      if (typeof answer === 'string') return done(Object.assign(new Error(answer), { code: answer }), 0);
      actualFs.read(fd, into, at, Math.min(length, answer ?? length), offset, done);
    }) as unknown as typeof fs.read);
    const into = Buffer.alloc(5000);
    expect(await source.read(3000, into)).toBe(5000);
    expect(into.equals(bytes.subarray(3000, 8000))).toBe(true);
    expect(calls).toBe(5);
    read.mockImplementation(((...args: unknown[]) => {
      const done = args.at(-1) as (error: Error) => void;
      done(Object.assign(new Error('EIO: i/o error'), { code: 'EIO', errno: -5 }));
    }) as unknown as typeof fs.read);
    await expect(source.read(3000, into)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_IO', systemCode: 'EIO', file, offset: 3000 }),
    );
    await source.close();
  });
});

test('a file has the same identity under all its names; other files have another', async () => {
  await writeFile(file, 'x');
  fs.symlinkSync(file, path('another-name'));
  fs.linkSync(file, path('hard-link'));
  await writeFile(path('other.raw'), 'x');
  const identities: string[] = [];
  for (const name of [file, path('another-name'), path('hard-link'), path('other.raw')]) {
    const source = await open(name);
    identities.push(source.identity);
    await source.close();
  }
  expect(new Set(identities.slice(0, 3)).size).toBe(1);
  expect(identities[3]).not.toBe(identities[0]);
});

describe('a source that changes', () => {
  const changed = (facts: object) => expect.objectContaining({ code: 'ERR_SOURCE_CHANGED', file, ...facts });

  test('is detected by its length; the error has the expected and the found length', async () => {
    for (const [change, found, words] of [
      [() => truncate(file, 100), 100, 'became 100 bytes long'],
      [() => truncate(file, 0), 0, 'became 0 bytes long'],
      [() => appendFile(file, 'x'), 5001, 'became 5001 bytes long'],
    ] as const) {
      await writeFile(file, Buffer.alloc(5000, 1));
      const source = await open();
      await source.refuseChanges();
      await change();
      await expect(source.refuseChanges()).rejects.toThrow(
        changed({ expected: 5000, found, message: `'${file}' ${words} while it was being read` }),
      );
      await source.close();
    }
  });

  test('is detected by its modification time alone, to less than a millisecond', async () => {
    await writeFile(file, Buffer.alloc(5000, 1));
    await utimes(file, 1_700_000_000, 1_700_000_000.25);
    const source = await open();
    await source.refuseChanges();
    await utimes(file, 1_700_000_000, 1_700_000_000.2501);
    await expect(source.refuseChanges()).rejects.toThrow(
      changed({ message: `'${file}' was written to while it was being read` }),
    );
    await source.close();
  });

  test('is detected although its modification time was set back', async () => {
    await writeFile(file, Buffer.alloc(5000, 1));
    await utimes(file, 1_700_000_000, 1_700_000_000);
    const source = await open();
    clockTick(file);
    await writeFile(file, Buffer.alloc(5000, 2));
    await utimes(file, 1_700_000_000, 1_700_000_000);
    await expect(source.refuseChanges()).rejects.toThrow(
      changed({ message: expect.stringMatching(/' was changed, .*ctime.* while it was being read$/) }),
    );
    await source.close();
  });

  test('does not include a file that was only read', async () => {
    await writeFile(file, Buffer.alloc(5000, 1));
    // The times are old, so that reading updates the access time.
    await utimes(file, 1, 1_700_000_000);
    const source = await open();
    fs.readFileSync(file);
    await source.refuseChanges();
    await source.close();
  });
});

describe('opening', () => {
  test('follows a symbolic link, and uses O_DIRECT if the file system supports it', async () => {
    await writeFile(file, 'x');
    fs.symlinkSync(file, path('link'));
    for (const [direct, name] of [
      [false, file],
      [true, path('link')],
    ] as const) {
      const opened = await openForReading(name, direct);
      const flags = fs
        .readFileSync(`/proc/self/fdinfo/${opened.descriptor}`, 'utf8')
        .match(/flags:\s*(\d+)/)![1]!;
      expect((Number.parseInt(flags, 8) & fs.constants.O_DIRECT) !== 0).toBe(direct);
      expect(opened.direct).toBe(direct);
      fs.closeSync(opened.descriptor);
    }
  });

  test('uses the page cache if O_DIRECT is refused', async () => {
    await writeFile(file, 'x');
    vi.mocked(fs.open).mockImplementation(((
      name: string,
      flags: number,
      callback: (error: Error | null, descriptor?: number) => void,
    ) => {
      if ((flags & fs.constants.O_DIRECT) === 0) actualFs.open(name, flags, callback);
      else callback(Object.assign(new Error('EINVAL'), { code: 'EINVAL' }));
    }) as unknown as typeof fs.open);
    const opened = await openForReading(file, true);
    expect(opened.direct).toBe(false);
    fs.closeSync(opened.descriptor);
  });

  test('refuses files without a size at once, and leaves nothing open', async () => {
    const [pipe, directory] = [path('pipe'), path('directory')];
    await runOk('mkfifo', [pipe]);
    fs.mkdirSync(directory);
    const before = openFiles();
    for (const [name, found] of [
      [pipe, 'a pipe'],
      [directory, 'a directory'],
      ['/dev/null', 'a character device'],
    ] as const) {
      await expect(openForReading(name, false)).rejects.toThrow(
        expect.objectContaining({ code: 'ERR_UNSUPPORTED', file: name, found }),
      );
    }
    expect(openFiles()).toBe(before);
  });

  test.each([
    ['does not exist', 'missing', 'ENOENT'],
    ['is inside a file', 'disk.raw/below', 'ENOTDIR'],
    ['has a name that is too long', 'n'.repeat(300), 'ENAMETOOLONG'],
  ])('the error for a file that %s gives the reason', async (_, name, systemCode) => {
    await writeFile(file, 'x');
    await expect(openForReading(path(name), true)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_IO', file: path(name), systemCode }),
    );
  });

  test('the error for a socket gives the reason', async () => {
    const server = createServer().listen(path('socket'));
    await new Promise((resolve) => server.once('listening', resolve));
    await expect(openForReading(path('socket'), false)).rejects.toThrow(
      expect.objectContaining({ code: 'ERR_UNSUPPORTED', found: 'a socket' }),
    );
    server.close();
  });
});

describe('a device', () => {
  /** Makes descriptors of regular files look like block devices, for which stat reports no size. */
  function pretendDevices(): void {
    vi.mocked(fs.fstat).mockImplementation(((
      descriptor: number,
      options: object,
      callback: (error: Error | null, stats?: object) => void,
    ) => {
      actualFs.fstat(descriptor, options, (error, stats) =>
        callback(error, Object.assign(stats, { isFile: () => false, isBlockDevice: () => true, size: 0n })),
      );
    }) as unknown as typeof fs.fstat);
  }

  test('has the size that a seek to its end returns', async () => {
    await makeSparseDisk(file, 3 * TIB + 512, []);
    pretendDevices();
    const source = await open();
    expect(source.size).toBe(3 * TIB + 512);
    expect(fs.readSync).not.toHaveBeenCalled();
    await source.close();
  });

  test.each([0, 512, 1024, 3584, 4096, 4608, 8192, 12_800, 1_048_576, 1_049_088, TIB, 5 * TIB - 512])(
    'of %i bytes without lseek has the size that aligned reads find by halving',
    async (size) => {
      await makeSparseDisk(file, size, []);
      pretendDevices();
      seek.end = () => undefined;
      vi.mocked(fs.readSync).mockImplementation(((
        fd: number,
        into: Uint8Array,
        at: number,
        length: number,
        offset: number,
      ) => {
        // The alignment that O_DIRECT needs on a disk with sectors of 4096 bytes.
        expect([offset % 4096, length % 4096, Number(koffi.address(into) % 4096n)]).toEqual([0, 0, 0]);
        return actualFs.readSync(fd, into, at, length, offset);
      }) as typeof fs.readSync);
      const source = await open();
      expect(source.size).toBe(size);
      expect(vi.mocked(fs.readSync).mock.calls.length).toBeLessThan(100);
      await source.close();
    },
  );

  test('for which lseek returns 0, as on macOS, has the size that reads find', async () => {
    await makeSparseDisk(file, 12_800, []);
    pretendDevices();
    seek.end = () => 0;
    const source = await open();
    expect(source.size).toBe(12_800);
    await source.close();
  });

  test('whose size cannot be read is an error, and is closed', async () => {
    await makeSparseDisk(file, 8192, []);
    pretendDevices();
    const before = openFiles();
    const broken = () => {
      throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO', errno: -5 });
    };
    const error = expect.objectContaining({ code: 'ERR_IO', systemCode: 'EIO', file });
    seek.end = () => undefined;
    vi.mocked(fs.readSync).mockImplementation(broken);
    await expect(open()).rejects.toThrow(error);
    expect(openFiles()).toBe(before);
  });

  test('is not checked by its modification time', async () => {
    await makeSparseDisk(file, 8192, []);
    pretendDevices();
    const source = await open();
    await appendFile(file, 'x');
    await source.refuseChanges();
    await source.close();
  });
});

test('a source names only its own descriptor, and closes it', async () => {
  await writeFile(file, 'x');
  const before = openFiles();
  const source = await open();
  const range = await source.map(0);
  if (range.kind !== 'data') throw new Error('no data');
  expect([source.fileOf(range.descriptor), source.fileOf(range.descriptor + 1)]).toEqual([file, undefined]);
  await source.close();
  expect(openFiles()).toBe(before);
});
