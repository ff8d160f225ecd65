/** NBD exports as targets: qemu-img judges the file or the export that real servers hold afterwards. */
import { readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ConvertOptions } from '../../src/convert/options.js';
import { useScratch } from '../e2e/scratch.js';
import { patchworkBytes, randomBytes } from '../e2e/source-images.js';
import { type NbdServer, whileNbdkit, whileQemuNbd, whileStorageDaemon } from '../oracle/nbd-server.js';
import { check, create, difference } from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import { shortened } from '../stage.js';
import { convertHere } from './built-worker.js';

const path = useScratch();
const MIB = 2 ** 20;
const SIZE = 10 * MIB;
/** Data, then zeros, then data up to the end. */
const disk = path('disk.raw');
const backup = path('backup.qcow2');
const content = Buffer.concat([patchworkBytes(3 * MIB), Buffer.alloc(6 * MIB), randomBytes(MIB, 7)]);

beforeAll(async () => {
  await writeFile(disk, content);
  await convertHere({ sources: [disk], sourceFormat: 'raw', target: backup, compress: true });
});

const restore = (target: string, options: Partial<ConvertOptions> = {}) =>
  convertHere({ sources: [backup], target, targetFormat: 'raw', threads: 2, ...options });

/** The disk in the export, as another client reads it. */
async function read({ uri }: NbdServer): Promise<Buffer> {
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri(), path('read.raw')]);
  return readFile(path('read.raw'));
}

describe('a raw restore', () => {
  test('fills an export of qemu-nbd, whose old content it replaces by data and holes', async () => {
    const file = path('export.raw');
    await writeFile(file, randomBytes(SIZE, 3));
    await whileQemuNbd(path('s'), ['-e', '4', '-f', 'raw', file], async ({ uri }) => {
      expect(await restore(uri(), { verify: true })).toMatchObject({ verifiedFrom: 'server' });
    });
    expect((await readFile(file)).equals(content)).toBe(true);
    expect((await stat(file)).blocks * 512).toBeLessThan(5 * MIB);
  });

  test('leaves the bytes after the disk, and with targetIsZero also those for which the source has zeros', async () => {
    const file = path('longer.raw');
    const old = randomBytes(SIZE + MIB, 4);
    await writeFile(file, old);
    await whileQemuNbd(path('s'), ['-f', 'raw', file], async ({ uri }) => {
      await restore(uri(), { keepTarget: true, targetIsZero: true });
      const hidden = await readFile(file);
      expect(hidden.subarray(4 * MIB, 8 * MIB).equals(old.subarray(4 * MIB, 8 * MIB))).toBe(true);
      await restore(uri());
    });
    expect((await readFile(file)).equals(Buffer.concat([content, old.subarray(SIZE)]))).toBe(true);
  });

  // Old content comes from a first restore of other bytes: the memory plugin begins with zeros.
  test.each(
    shortened(
      [
        ['zeros by trim and block status', ['--filter=nozero']],
        ['zeros sent', ['--filter=nozero', '--filter=noextents']],
      ] as const,
      2,
    ),
  )('works with nbdkit: %s', async (_, filters) => {
    const old = path('old.raw');
    await writeFile(old, randomBytes(SIZE, 5));
    await whileNbdkit(path('s'), [...filters, 'memory', '10M'], async (server) => {
      await restore(server.uri(), { sources: [old], sourceFormat: 'raw' });
      expect((await read(server)).equals(await readFile(old))).toBe(true);
      await restore(server.uri());
      expect((await read(server)).equals(content)).toBe(true);
    });
  });

  // Its filter refuses what nbdkit offers, as the protocol has it for commands that a server does not know.
  test.each([
    ['zeros', ['--filter=error', 'memory', '10M', 'error-zero=EINVAL', 'error-zero-rate=100%']],
    [
      'trims',
      ['--filter=error', '--filter=nozero', 'memory', '10M', 'error-trim=EINVAL', 'error-trim-rate=100%'],
    ],
  ])('writes zeros if the server offers %s and does not have them', async (_, args) => {
    const old = path('old.raw');
    await writeFile(old, randomBytes(SIZE, 5));
    await whileNbdkit(path('s'), args, async (server) => {
      await restore(server.uri(), { sources: [old], sourceFormat: 'raw' });
      await restore(server.uri());
      expect((await read(server)).equals(content)).toBe(true);
    });
  });
});

test('a chain is restored in one pass, into an export of qemu-storage-daemon', async () => {
  const [changed, overlay, file] = [path('changed.raw'), path('overlay.qcow2'), path('daemon.raw')];
  await writeFile(
    changed,
    Buffer.concat([content.subarray(0, 5 * MIB), randomBytes(MIB, 9), content.subarray(6 * MIB)]),
  );
  await convertHere({
    ...{ sources: [changed], sourceFormat: 'raw', target: overlay, compress: true },
    create: { backingFile: backup, backingFormat: 'qcow2' },
  });
  await writeFile(file, randomBytes(SIZE, 8));
  await whileStorageDaemon(path('s'), file, async ({ uri }) => {
    await restore(uri('disk'), { sources: [overlay], sourceFormat: 'qcow2' });
  });
  expect((await readFile(file)).equals(await readFile(changed))).toBe(true);
});

describe('a qcow2 image in an export', () => {
  const into = (target: string, options: Partial<ConvertOptions> = {}) =>
    convertHere({
      sources: [disk],
      sourceFormat: 'raw',
      target,
      targetFormat: 'qcow2',
      threads: 2,
      ...options,
    });

  test.each([[true], [false]])('is written in place, compressed: %s', async (compress) => {
    const file = path('image.raw');
    await writeFile(file, randomBytes(12 * MIB, 6));
    await whileQemuNbd(path('s'), ['-e', '4', '-f', 'raw', file], async ({ uri }) => {
      expect(await into(uri(), { compress, verify: true })).toMatchObject({ verifiedFrom: 'server' });
    });
    expect(await check(file)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
    expect(await difference(disk, file)).toBeUndefined();
  });

  test('keeps its size and its snapshots with keepTarget, and its old header until the new one is written', async () => {
    const file = path('kept.raw');
    await create(file, 30 * MIB);
    await runOk('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 0 8M', file]);
    await runOk('qemu-img', ['snapshot', '-c', 'before', file]);
    await truncate(file, 64 * MIB);
    await whileQemuNbd(path('s'), ['-e', '4', '-f', 'raw', file], async ({ uri }) => {
      await into(uri(), { compress: true, keepTarget: true });
    });
    expect(await check(file)).toMatchObject({ corruptions: 0, leaks: 0, checkErrors: 0 });
    await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, path('kept-disk.raw')]);
    const found = await readFile(path('kept-disk.raw'));
    expect([found.length, found.subarray(0, SIZE).equals(content)]).toEqual([30 * MIB, true]);
    await runOk('qemu-img', [
      'convert',
      '-f',
      'qcow2',
      '-O',
      'raw',
      '-l',
      'before',
      file,
      path('before.raw'),
    ]);
    expect((await readFile(path('before.raw'))).subarray(0, 8 * MIB).every((byte) => byte === 7)).toBe(true);
  });

  test('keeps the rest of the last cluster, over the only connection that a server allows', async () => {
    const [file, small] = [path('rest.raw'), path('small.raw')];
    const end = MIB + 512;
    await writeFile(small, content.subarray(0, end));
    await create(file, 30 * MIB);
    await runOk('qemu-io', ['-f', 'qcow2', '-c', 'write -P 7 0 2M', file]);
    await truncate(file, 64 * MIB);
    await whileQemuNbd(path('s'), ['-f', 'raw', file], async ({ uri }) => {
      await into(uri(), {
        ...{ sources: [small], compress: true, keepTarget: true, nbd: { timeoutMs: 5000 } },
      });
    });
    await runOk('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', file, path('rest-disk.raw')]);
    const found = (await readFile(path('rest-disk.raw'))).subarray(0, 2 * MIB);
    expect(found.equals(Buffer.concat([content.subarray(0, end), Buffer.alloc(2 * MIB - end, 7)]))).toBe(
      true,
    );
  });

  test('is no image when the conversion ends early, even if it held one before', async () => {
    const file = path('ended.raw');
    await create(file, 30 * MIB);
    await truncate(file, 64 * MIB);
    const stop = new AbortController();
    await whileQemuNbd(path('s'), ['-e', '4', '-f', 'raw', file], async ({ uri }) => {
      const onProgress = ({ guestBytesDone }: { guestBytesDone: number }) => {
        if (guestBytesDone > 0) stop.abort();
      };
      await expect(into(uri(), { signal: stop.signal, onProgress })).rejects.toMatchObject({
        code: 'ERR_ABORTED',
      });
    });
    expect((await readFile(file)).subarray(0, 512).every((byte) => byte === 0)).toBe(true);
  });

  test('needs an absolute name for its backing file', async () => {
    const create = { backingFile: 'backup.qcow2', backingFormat: 'qcow2' } as const;
    await expect(into('nbd+unix:///?socket=/no', { create })).rejects.toThrow(
      'an NBD export is in no directory',
    );
  });
});

describe('a failure names the export, the offset and the reason:', () => {
  test('an export that is too small, before anything is written', async () => {
    const file = path('small.raw');
    await writeFile(file, Buffer.alloc(SIZE - 512, 'x'));
    await whileQemuNbd(path('s'), ['-f', 'raw', file], async ({ uri }) => {
      await expect(restore(uri())).rejects.toMatchObject({
        ...{ code: 'ERR_USAGE', file: uri(), expected: SIZE, found: SIZE - 512 },
      });
    });
    expect((await readFile(file)).every((byte) => byte === 0x78)).toBe(true);
  });

  test('an export that is smaller by less than a sector is refused, unless the missing bytes are zeros', async () => {
    for (const [tail, isRefused] of [
      [Buffer.alloc(511, 'x'), true],
      [Buffer.alloc(511), false],
    ] as const) {
      const [small, image] = [path('cut.raw'), path('cut.qcow2')];
      const disk = Buffer.concat([content.subarray(0, SIZE - 511), tail]);
      await writeFile(small, disk);
      await convertHere({ sources: [small], sourceFormat: 'raw', target: image, compress: true });
      const log = path('writes');
      await whileNbdkit(
        path('s'),
        ['--filter=log', 'memory', String(SIZE - 511), `logfile=${log}`],
        async (server) => {
          const restored = restore(server.uri(), { sources: [image] });
          if (isRefused) {
            const facts = { code: 'ERR_USAGE', expected: SIZE, found: SIZE - 511 };
            await expect(restored).rejects.toMatchObject(facts);
            expect(await readFile(log, 'utf8')).not.toMatch(/ (Write|Zero|Trim) /);
          } else {
            await restored;
            expect(await readFile(log, 'utf8')).toMatch(/ Write /);
            expect((await read(server)).subarray(0, SIZE - 511).equals(disk.subarray(0, SIZE - 511))).toBe(
              true,
            );
          }
        },
      );
    }
  });

  test('an export that is read-only', async () => {
    await whileNbdkit(path('s'), ['-r', 'memory', '10M'], async ({ uri }) => {
      await expect(restore(uri())).rejects.toThrow(
        `Could not open '${uri()}' for writing: the export is read-only`,
      );
    });
  });

  test.each([
    ['pwrite', 'ENOSPC', /^Could not write \d+ bytes to 'nbd.*' at offset \d+: No space left on device$/],
    [
      'zero',
      'EPERM',
      /^Could not write \d+ bytes of zeros to 'nbd.*' at offset \d+: Operation not permitted$/,
    ],
  ])('a refused %s', async (request, reason, message) => {
    const filter = [
      '--filter=error',
      'memory',
      '10M',
      `error-${request}=${reason}`,
      `error-${request}-rate=100%`,
    ];
    await whileNbdkit(path('s'), filter, async ({ uri }) => {
      await expect(restore(uri())).rejects.toMatchObject({
        ...{ code: 'ERR_IO', file: uri(), offset: expect.any(Number), systemCode: reason },
        message: expect.stringMatching(message),
      });
    });
  });

  test.each([
    [
      'SIGKILL',
      /at offset \d+: (the server closed the connection|Broken pipe|Connection re(set by peer|fused))$/,
    ],
    ['SIGSTOP', /at offset \d+: the server has sent nothing for 0.3 seconds \(--nbd-timeout\)$/],
  ] as const)('a server that gets %s', async (signal, message) => {
    // Long enough that writes follow the first progress.
    const long = path('long.raw');
    await writeFile(long, randomBytes(24 * MIB, 5));
    await whileNbdkit(path('s'), ['memory', '24M'], async ({ child, uri }) => {
      const onProgress = ({ guestBytesDone }: { guestBytesDone: number }) => {
        if (guestBytesDone > 0) child.kill(signal);
      };
      const sources = { sources: [long], sourceFormat: 'raw' } as const;
      const failing = restore(uri(), { ...sources, onProgress, nbd: { timeoutMs: 300 } });
      await expect(failing).rejects.toMatchObject({
        code: 'ERR_IO',
        message: expect.stringMatching(message),
      });
    });
  });
});

test('requests are multiples of the smallest block of the server and at most its largest', async () => {
  const sizes = ['blocksize-minimum=64K', 'blocksize-preferred=64K', 'blocksize-maximum=512K'];
  // Ends inside a block of the disk, not of the export.
  const uneven = path('uneven.raw');
  await writeFile(uneven, content.subarray(0, SIZE - 512));
  const filter = ['--filter=blocksize-policy', 'memory', '10M', ...sizes, 'blocksize-error-policy=error'];
  await whileNbdkit(path('s'), filter, async (server) => {
    await restore(server.uri(), { sources: [uneven], sourceFormat: 'raw' });
    await restore(server.uri(), { sources: [uneven], sourceFormat: 'raw' });
    expect((await read(server)).equals(Buffer.concat([await readFile(uneven), Buffer.alloc(512)]))).toBe(
      true,
    );
  });
});

describe('durability, with a server that logs its writes:', () => {
  // The server starts a shell for each request.
  const small = path('durable.raw');
  beforeAll(() => writeFile(small, content.subarray(0, MIB)));

  /** Restores into the server. @returns what it was asked for, each kind once, and the warnings */
  async function logged(options: Partial<ConvertOptions>, ...parameters: string[]) {
    const log = path('log');
    await writeFile(log, '');
    const warnings: string[] = [];
    const server = [
      ...['eval', 'get_size=echo 1M', 'pread=head -c $3 /dev/zero'],
      ...(parameters.some((one) => one.startsWith('flush=')) ? [] : [`flush=echo flush >> ${log}`]),
      ...[`pwrite=cat > /dev/null; echo "write $5" >> ${log}`, ...parameters],
    ];
    await whileNbdkit(path('s'), server, ({ uri }) =>
      restore(uri(), {
        ...{ sources: [small], sourceFormat: 'raw' },
        ...options,
        onWarning: (warning) => warnings.push(warning),
      }),
    );
    const lines = (await readFile(log, 'utf8')).split('\n').map((line) => line.trim());
    return { requests: [...new Set(lines)].filter((line) => line !== '').sort(), warnings };
  }
  const WITHOUT_FLUSH = 'can_flush=exit 3';

  test.each<[string, Partial<ConvertOptions>, string[], string[]]>([
    ['a flush follows the writes', {}, ['can_flush=exit 0'], ['flush', 'write']],
    ['unsafe sends none', { targetCache: 'unsafe' }, ['can_flush=exit 0'], ['write']],
    ['without it each write is durable', {}, [WITHOUT_FLUSH, 'can_fua=echo native'], ['write fua']],
  ])('%s', async (_, options, parameters, requests) => {
    expect(await logged(options, ...parameters)).toEqual({ requests, warnings: [] });
  });

  test('a server with neither is reported', async () => {
    const { requests, warnings } = await logged({}, WITHOUT_FLUSH, 'can_fua=echo none');
    expect(requests).toEqual(['write']);
    expect(warnings).toEqual([expect.stringContaining('neither flush nor FUA')]);
  });

  test('a flush that fails ends the conversion', async () => {
    const failing = logged({}, 'can_flush=exit 0', 'flush=echo EIO disk >&2; exit 1');
    await expect(failing).rejects.toThrow(/^Could not sync 'nbd.*': Input\/output error$/);
  });
});
