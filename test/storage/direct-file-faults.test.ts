/**
 * The direct file when system calls do rare things: short or interrupted transfers, a late refusal of O_DIRECT. Calls
 * of node:fs are replaced one by one; all others reach a real file on a disk.
 */
import * as fs from 'node:fs';
import { constants } from 'node:os';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { CacheMode } from '../../src/storage/cache-mode.js';
import { DirectFile } from '../../src/storage/direct-file.js';
import { alignedMemory, DIRECT_ALIGNMENT } from '../../src/system/aligned-memory.js';
import { useScratch } from '../e2e/scratch.js';
import { stateOf, turn } from './promise-state.js';
import { expectSameBytes, payload } from './recording-storage.js';

type Callback = (error: NodeJS.ErrnoException | null, result?: unknown) => void;
type Call = (...args: never[]) => void;
type CallName = 'open' | 'close' | 'writev' | 'read' | 'fdatasync' | 'ftruncate' | 'fstat' | 'unlink';

const system = vi.hoisted(() => ({
  /** The functions that replace the system's. */
  replaced: new Map<string, (...args: never[]) => void>(),
  real: new Map<string, (...args: never[]) => void>(),
  hasDirect: true,
}));

vi.mock('node:fs', async (importOriginal) => {
  const actual = await importOriginal<typeof import('node:fs')>();
  const names = ['open', 'close', 'writev', 'read', 'fdatasync', 'ftruncate', 'fstat', 'unlink'] as const;
  const calls = names.map((name) => {
    const real = actual[name] as Call;
    system.real.set(name, real);
    return [name, (...args: never[]) => (system.replaced.get(name) ?? real)(...args)];
  });
  const shown = {
    get O_DIRECT() {
      return system.hasDirect ? actual.constants.O_DIRECT : undefined;
    },
  };
  const visible = Object.create(actual.constants, Object.getOwnPropertyDescriptors(shown));
  return { ...actual, ...Object.fromEntries(calls), constants: visible };
});

const BLOCK = DIRECT_ALIGNMENT;
const CREATE = fs.constants.O_CREAT | fs.constants.O_EXCL;
const scratch = useScratch();
let path = '';
let opened: DirectFile[] = [];

beforeEach(({ task }) => {
  path = scratch(task.id);
  opened = [];
});
afterEach(async () => {
  system.replaced.clear();
  system.hasDirect = true;
  await Promise.all(opened.map((file) => file.close()));
});

/** Calls the system itself. */
const really = (name: CallName, ...args: unknown[]) => system.real.get(name)?.(...(args as never[]));

/** Replaces one call of node:fs. */
function replace(name: CallName, call: (...args: never[]) => void): void {
  system.replaced.set(name, call);
}

function systemError(code: keyof typeof constants.errno): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code, errno: -constants.errno[code] });
}

type Outcome = keyof typeof constants.errno | number;

/** Each write or read has the next outcome: an error, or this number of bytes. Later ones are real. */
function script(name: 'writev' | 'read', outcomes: readonly Outcome[]) {
  const asked: { readonly position: number; readonly length: number }[] = [];
  let next = 0;
  const outcome = (position: number, length: number) => {
    asked.push({ position, length });
    const chosen = outcomes[next];
    next += 1;
    return chosen;
  };
  if (name === 'writev') {
    replace('writev', (fd: number, buffers: Uint8Array[], position: number, callback: Callback) => {
      const all = Buffer.concat(buffers);
      const chosen = outcome(position, all.length);
      if (typeof chosen === 'string') callback(systemError(chosen));
      else if (chosen === undefined) really('writev', fd, buffers, position, callback);
      else callback(null, writeRest(all.subarray(0, chosen), position));
    });
  } else {
    replace(
      'read',
      (fd: number, into: Uint8Array, at: number, length: number, position: number, callback: Callback) => {
        const chosen = outcome(position, length);
        if (typeof chosen === 'string') callback(systemError(chosen));
        else if (chosen === undefined) really('read', fd, into, at, length, position, callback);
        else callback(null, readPart(into.subarray(at, at + chosen), position));
      },
    );
  }
  return asked;
}

/** Writes any bytes past the descriptor under test, as a short write does. */
function writeRest(bytes: Uint8Array, position: number): number {
  const fd = fs.openSync(path, 'r+');
  fs.writeSync(fd, bytes, 0, bytes.length, position);
  fs.closeSync(fd);
  return bytes.length;
}

/** Reads any number of bytes past the descriptor under test, as a short read does. */
function readPart(into: Uint8Array, position: number): number {
  const fd = fs.openSync(path, 'r');
  const count = fs.readSync(fd, into, 0, into.length, position);
  fs.closeSync(fd);
  return count;
}

async function open(mode: CacheMode = 'none', flags = CREATE): Promise<DirectFile> {
  const file = await DirectFile.open(path, 'the target', mode, flags);
  opened.push(file);
  return file;
}

function blocks(count: number, seed = 1): Uint8Array {
  const memory = alignedMemory(count * BLOCK).subarray(0, count * BLOCK);
  memory.set(payload(memory.length, seed));
  return memory;
}

/** Number of this process's descriptors of the file. */
function openDescriptors(): number {
  const links = fs.readdirSync('/proc/self/fd').map((fd) => {
    try {
      return fs.readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return links.filter((target) => target === path).length;
}

describe('a short write', () => {
  test('continues at an aligned offset, through a vector of buffers', async () => {
    const file = await open();
    const asked = script('writev', [BLOCK + 100, 2 * BLOCK, 50, 0]);
    const buffers = [blocks(2, 1), blocks(3, 2), blocks(1, 3)];
    await file.write(BLOCK, buffers);
    expect(asked).toEqual([
      { position: BLOCK, length: 6 * BLOCK },
      { position: 2 * BLOCK, length: 5 * BLOCK },
      { position: 4 * BLOCK, length: 3 * BLOCK },
      { position: 4 * BLOCK, length: 3 * BLOCK },
      { position: 4 * BLOCK, length: 3 * BLOCK },
    ]);
    expectSameBytes(fs.readFileSync(path).subarray(BLOCK), Buffer.concat(buffers));
    expect(file.writeCalls).toBe(5);
  });

  test('continues at the next byte when buffered', async () => {
    const file = await open('writeback');
    const asked = script('writev', [3, 10]);
    await file.write(7, [payload(5), payload(20, 2)]);
    expect(asked).toEqual([
      { position: 7, length: 25 },
      { position: 10, length: 22 },
      { position: 20, length: 12 },
    ]);
    expect([...fs.readFileSync(path).subarray(7)]).toEqual([...payload(5), ...payload(20, 2)]);
  });

  test('is an error after repeated writes of 0 bytes', async () => {
    const file = await open();
    const asked = script('writev', [BLOCK, ...new Array(100).fill(0)]);
    await expect(file.write(0, [blocks(2)])).rejects.toMatchObject({
      code: 'ERR_IO',
      message: `Could not write 8192 bytes to 'the target' at offset 0: only ${BLOCK} bytes were written`,
    });
    expect(asked.length).toBeLessThan(20);
  });
});

describe.each(['EINTR', 'EAGAIN'] as const)('%s', (code) => {
  test('is retried, for writes and for reads', async () => {
    const file = await open();
    script('writev', [code, code, BLOCK, code]);
    await file.write(0, [blocks(3)]);
    expectSameBytes(fs.readFileSync(path), payload(3 * BLOCK));
    script('read', [code, BLOCK, code, code]);
    const into = blocks(3, 2);
    expect(await file.read(0, into)).toBe(3 * BLOCK);
    expectSameBytes(into, payload(3 * BLOCK));
  });

  test('for ever becomes an error', async () => {
    const file = await open();
    const tries = script('writev', new Array(100).fill(code));
    await expect(file.write(4096, [blocks(1)])).rejects.toMatchObject({ systemCode: code, offset: 4096 });
    expect(tries.length).toBeLessThan(20);
    const reads = script('read', new Array(100).fill(code));
    await expect(file.read(8192, blocks(1))).rejects.toMatchObject({
      systemCode: code,
      offset: 8192,
      message: expect.stringContaining("Could not read 'the target' at offset 8192: "),
    });
    expect(reads.length).toBeLessThan(20);
  });
});

describe('O_DIRECT refused at the first write', () => {
  test.each<[CacheMode, CacheMode, number]>([
    ['none', 'writeback', 0],
    ['directsync', 'writethrough', fs.constants.O_DSYNC],
  ])('mode %s continues as %s, and reports the reason', async (mode, becomes, durable) => {
    const file = await open(mode);
    const flags: number[] = [];
    replace('open', (name: string, wanted: number, ...rest: unknown[]) => {
      flags.push(wanted);
      really('open', name, wanted, ...rest);
    });
    script('writev', ['EINVAL']);
    await file.write(BLOCK, [blocks(2)]);
    await file.write(5, [payload(10, 3)]);
    expect(flags).toEqual([fs.constants.O_RDWR | durable]);
    expect([file.alignment, file.cacheMode, file.directRefused]).toEqual([
      1,
      becomes,
      'the file system refuses direct writes',
    ]);
    expectSameBytes(fs.readFileSync(path).subarray(BLOCK), payload(2 * BLOCK));
    expect([...fs.readFileSync(path).subarray(5, 15)]).toEqual([...payload(10, 3)]);
  });

  test('also if a read comes first', async () => {
    const file = await open();
    fs.writeFileSync(path, payload(100));
    script('read', ['EINVAL']);
    const into = blocks(1, 2);
    expect(await file.read(0, into)).toBe(100);
    expect([...into.subarray(0, 100)]).toEqual([...payload(100)]);
    expect(file.cacheMode).toBe('writeback');
  });

  test('by several writes in flight opens the file once, and each is retried', async () => {
    const file = await open();
    const waiting: Callback[] = [];
    replace('writev', (fd: number, buffers: Uint8Array[], position: number, callback: Callback) => {
      if (waiting.length < 3) waiting.push(callback);
      else really('writev', fd, buffers, position, callback);
    });
    const writes = [0, 1, 2].map((at) => file.write(at * BLOCK, [blocks(1, at)]));
    await turn();
    waiting[0]?.(systemError('EINVAL'));
    waiting[1]?.(systemError('EINVAL'));
    await Promise.all(writes.slice(0, 2));
    // The third write is refused only now, when buffered writes have long succeeded.
    waiting[2]?.(systemError('EINVAL'));
    await Promise.all(writes);
    expect(openDescriptors()).toBe(2);
    for (const at of [0, 1, 2]) {
      expectSameBytes(fs.readFileSync(path).subarray(at * BLOCK, (at + 1) * BLOCK), payload(BLOCK, at));
    }
    await file.close();
    expect(openDescriptors()).toBe(0);
  });

  test('is an error if the file cannot be opened again', async () => {
    const file = await open();
    script('writev', ['EINVAL', 'EINVAL']);
    replace('open', (...args: never[]) => (args.at(-1) as unknown as Callback)(systemError('EACCES')));
    for (let call = 0; call < 2; call += 1) {
      await expect(file.write(0, [blocks(1)])).rejects.toMatchObject({
        code: 'ERR_IO',
        systemCode: 'EACCES',
        file: 'the target',
        message: "Could not open 'the target' without O_DIRECT: Permission denied",
      });
    }
  });
});

describe('EINVAL that is not a refusal of O_DIRECT', () => {
  const failure = {
    code: 'ERR_IO',
    systemCode: 'EINVAL',
    message: `Could not write ${BLOCK} bytes to 'the target' at offset 8192: Invalid argument`,
  };

  test('after a direct write has worked is an error', async () => {
    const file = await open();
    await file.write(0, [blocks(1)]);
    const asked = script('writev', ['EINVAL']);
    await expect(file.write(8192, [blocks(1)])).rejects.toMatchObject(failure);
    expect(asked).toHaveLength(1);
    expect([file.cacheMode, file.directRefused, openDescriptors()]).toEqual(['none', undefined, 1]);
  });

  test('after the file was opened without O_DIRECT is an error at once', async () => {
    const file = await open('writeback');
    const asked = script('writev', ['EINVAL']);
    await expect(file.write(8192, [blocks(1)])).rejects.toMatchObject(failure);
    expect(asked).toHaveLength(1);
  });

  test('after the file was reopened without O_DIRECT is an error at once', async () => {
    const file = await open();
    const asked = script('writev', ['EINVAL', 'EINVAL']);
    await expect(file.write(8192, [blocks(1)])).rejects.toMatchObject(failure);
    expect(asked).toHaveLength(2);
  });
});

describe('O_DIRECT refused at open', () => {
  /** Refuses like a file system that creates the file before it checks the flags. */
  function refuseDirect(code: keyof typeof constants.errno = 'EINVAL') {
    replace('open', (name: string, flags: number, mode: number, callback: Callback) => {
      if ((flags & fs.constants.O_DIRECT) === 0) return really('open', name, flags, mode, callback);
      if ((flags & fs.constants.O_CREAT) !== 0) fs.closeSync(fs.openSync(name, 'a'));
      callback(systemError(code));
    });
  }

  test('removes the file, so that it can be created again', async () => {
    refuseDirect();
    const file = await open();
    expect([file.alignment, file.cacheMode, file.directRefused]).toEqual([
      1,
      'writeback',
      'the file system refuses O_DIRECT',
    ]);
    await file.write(1, [payload(10)]);
    expect(fs.statSync(path).size).toBe(11);
  });

  test.each([fs.constants.O_CREAT, fs.constants.O_EXCL, 0])(
    'removes no file that may have existed before (flags %d)',
    async (flags) => {
      fs.writeFileSync(path, 'kept');
      const removed = vi.fn();
      replace('unlink', removed);
      replace('open', (name: string, wanted: number, mode: number, callback: Callback) => {
        if ((wanted & fs.constants.O_DIRECT) !== 0) callback(systemError('EINVAL'));
        else really('open', name, wanted, mode, callback);
      });
      await open('none', flags);
      expect(removed).not.toHaveBeenCalled();
      expect(fs.readFileSync(path, 'utf8')).toBe('kept');
    },
  );

  test('is distinguished from other errors', async () => {
    refuseDirect('EACCES');
    await expect(open()).rejects.toMatchObject({
      systemCode: 'EACCES',
      message: "Could not create 'the target': Permission denied",
    });
  });

  test('is not tried on a system without O_DIRECT', async () => {
    system.hasDirect = false;
    vi.resetModules();
    const { DirectFile: Portable } = await import('../../src/storage/direct-file.js');
    const file = await Portable.open(path, 'the target', 'directsync', CREATE);
    expect([file.alignment, file.cacheMode, file.directRefused]).toEqual([
      1,
      'writethrough',
      'this system has no O_DIRECT',
    ]);
    await file.close();
  });
});

describe('reading', () => {
  test('continues after a short read from the last whole block, until a read returns 0 bytes', async () => {
    const file = await open();
    await file.write(0, [blocks(3)]);
    let asked = script('read', [BLOCK]);
    expect(await file.read(0, blocks(3))).toBe(3 * BLOCK);
    expect(asked).toEqual([
      { position: 0, length: 3 * BLOCK },
      { position: BLOCK, length: 2 * BLOCK },
    ]);
    asked = script('read', [BLOCK + 10]);
    expect(await file.read(0, blocks(3))).toBe(3 * BLOCK);
    expect(asked.at(-1)).toEqual({ position: BLOCK, length: 2 * BLOCK });
    asked = script('read', [BLOCK + 10, 10]);
    expect(await file.read(0, blocks(3))).toBe(BLOCK + 10);
    expect(asked).toHaveLength(2);
  });
});

describe('sync, truncate and close', () => {
  test('sync reaches the disk in every mode but unsafe', async () => {
    const synced = vi.fn((_fd: number, callback: Callback) => callback(systemError('EIO')));
    replace('fdatasync', synced);
    for (const mode of ['none', 'directsync', 'writethrough', 'writeback'] as const) {
      path = scratch(`sync-${mode}`);
      await expect((await open(mode)).sync()).rejects.toMatchObject({
        code: 'ERR_IO',
        systemCode: 'EIO',
        message: "Could not sync 'the target': Input/output error",
      });
    }
    expect(synced).toHaveBeenCalledTimes(4);
    path = scratch('sync-unsafe');
    await (await open('unsafe')).sync();
    expect(synced).toHaveBeenCalledTimes(4);
  });

  test('a length that the system does not set is an error', async () => {
    const file = await open();
    replace('ftruncate', (_fd: number, _length: number, callback: Callback) => callback(null));
    await expect(file.truncate(777)).rejects.toMatchObject({
      code: 'ERR_IO',
      expected: 777,
      message: "Could not set the length of 'the target' to 777: it is 0 bytes long afterwards",
    });
  });

  test('close closes every descriptor even when one fails, and names the file', async () => {
    const file = await open();
    script('writev', ['EINVAL']);
    await file.write(0, [blocks(1)]);
    expect(openDescriptors()).toBe(2);
    let first = true;
    replace('close', (fd: number, callback: Callback) => {
      const failing = first;
      first = false;
      really('close', fd, () => callback(failing ? systemError('EIO') : null));
    });
    await expect(file.close()).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'EIO',
      message: "Could not close 'the target': Input/output error",
    });
    expect(openDescriptors()).toBe(0);
  });

  test.each<[string, (file: DirectFile) => Promise<void>, CallName]>([
    ['truncate', (file) => file.truncate(1), 'ftruncate'],
    ['close', (file) => file.close(), 'close'],
  ])('%s waits for writes in flight, also for their retries', async (_, act, name) => {
    const file = await open();
    const waiting: Callback[] = [];
    replace('writev', (_fd: number, _buffers: Uint8Array[], _position: number, callback: Callback) => {
      waiting.push(callback);
    });
    const called = vi.fn(system.real.get(name) as Call);
    replace(name, called);
    const writing = file.write(0, [blocks(2)]);
    const acting = act(file);
    waiting[0]?.(null, BLOCK);
    expect(await stateOf(writing)).toBe('waiting');
    expect(await stateOf(acting)).toBe('waiting');
    expect(called).not.toHaveBeenCalled();
    waiting[1]?.(null, BLOCK);
    await Promise.all([writing, acting]);
    expect(called).toHaveBeenCalledTimes(1);
  });
});

describe('a sync beside the work', () => {
  /** 16 MiB, on a clock on which the disk waits as long as it works. */
  async function writeEnough(file: DirectFile): Promise<void> {
    let time = 0;
    vi.spyOn(performance, 'now').mockImplementation(() => {
      time += 100;
      return time;
    });
    onTestFinished(() => void vi.restoreAllMocks());
    await file.write(0, [blocks((16 * 1024 * 1024) / BLOCK)]);
  }

  test('that fails makes the last sync fail, although the system reports the loss once', async () => {
    const file = await open();
    replace('fdatasync', (_fd: number, callback: Callback) => {
      system.replaced.delete('fdatasync');
      callback(systemError('EIO'));
    });
    await writeEnough(file);
    await expect(file.sync()).rejects.toMatchObject({ code: 'ERR_IO', systemCode: 'EIO' });
  });

  test('ends before the file is closed', async () => {
    const file = await open();
    let end: (() => void) | undefined;
    replace('fdatasync', (_fd: number, callback: Callback) => {
      end = () => callback(null);
    });
    await writeEnough(file);
    const close = vi.fn(system.real.get('close') as Call);
    replace('close', close);
    const closed = file.close();
    expect(await stateOf(closed)).toBe('waiting');
    expect(close).not.toHaveBeenCalled();
    end?.();
    await closed;
  });
});
