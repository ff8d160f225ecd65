/**
 * Servers that fail, hang, lie or send garbage: the command ends with exit code 1 and one line that names the export,
 * the old target is as it was, and no other file is left.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { describe, expect, test } from 'vitest';
import { whileNbdkit } from '../oracle/nbd-server.js';
import * as qemuImg from '../oracle/qemu-img.js';
import { runOk } from '../oracle/run.js';
import {
  BLOCK_STATUS,
  chunk,
  contentAt,
  dataChunk,
  errorChunk,
  READ,
  type Script,
  SET_META_CONTEXT,
  scriptedServer,
  sendEndlessly,
  statusChunk,
} from '../oracle/scripted-nbd-server.js';
import { longTest } from '../stage.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';

const scratch = useScratch();
let made = 0;

/** A directory of its own with an old target. */
async function oldTarget(): Promise<{ target: string; socket: string }> {
  made += 1;
  await mkdir(scratch(`${made}`));
  const target = scratch(`${made}`, 'old.qcow2');
  await writeFile(target, 'the old target');
  return { target, socket: scratch(`s${made}`) };
}

/** @returns the only line of the error */
async function failsOn(uri: string, target: string, ...options: string[]): Promise<string> {
  const words = ['convert', '-O', 'qcow2', '-c', '--nbd-timeout', '0.5', ...options, uri, target];
  const { status, stdout, stderr } = await cli(words);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  expect(await readFile(target, 'utf8')).toBe('the old target');
  expect(await readdir(dirname(target))).toEqual(['old.qcow2']);
  expect(stderr.split('\n')).toEqual([stderr.trimEnd(), '']);
  expect(stderr).toContain(uri.replace(/'/g, ''));
  return stderr;
}

const reads = (answer: NonNullable<Script['answer']>): Script => ({
  answer: (request) => (request.type === READ ? answer(request) : undefined),
});
const statuses = (answer: NonNullable<Script['answer']>): Script => ({
  answer: (request) => (request.type === BLOCK_STATUS ? answer(request) : undefined),
});

describe('a conversion ends with one line', () => {
  test.each<[string, Script, RegExp]>([
    [
      'closes the connection at a read',
      reads(() => 'close'),
      /at offset \d+: the server closed the connection/,
    ],
    ['resets the connection at a read', reads(() => 'reset'), /at offset \d+: /],
    ['does not answer a read', reads(() => 'nothing'), /has sent nothing for 0.5 seconds \(--nbd-timeout\)/],
    ['fails a read', reads((request) => errorChunk(request, 5)), /at offset \d+: Input\/output error/],
    ['answers a read with garbage', reads(() => randomBytes(64)), /at offset \d+: .*magic/],
    [
      'sends more than was asked for',
      reads((request) => dataChunk(request, contentAt(0, request.length + 4096))),
      /at offset \d+: /,
    ],
    [
      'sends less than was asked for',
      reads((request) => dataChunk(request, contentAt(0, request.length - 512))),
      /at offset \d+: /,
    ],
    [
      'announces a reply of 4 GB',
      reads(({ cookie }) => chunk(cookie, 1, Buffer.alloc(8)).fill(255, 16, 20)),
      /offset/,
    ],
    [
      'closes the connection at block status',
      statuses(() => 'close'),
      /block status of .* closed the connection/,
    ],
    ['does not answer block status', statuses(() => 'nothing'), /block status of .* has sent nothing for/],
    [
      'answers block status with garbage',
      statuses(() => randomBytes(64)),
      /block status of .* at offset 0: /,
    ],
    [
      'does not greet',
      { greeting: 'none' },
      /Could not open .*has sent nothing for 0.5 seconds \(--nbd-timeout\); another client may/,
    ],
    ['greets with garbage', { greeting: randomBytes(200) }, /Could not open /],
    ['states a size of 2^64-1 bytes', { size: 2n ** 64n - 1n }, /states a size of 2 \*\* 63 bytes or more/],
    ['states a size of 2^62 bytes', { size: 2n ** 62n }, /more than any image can have/],
    ['states a negative size', { size: 2n ** 64n - 512n }, /states a size of 2 \*\* 63 bytes or more/],
  ])('when the server %s', async (what, script, words) => {
    const { target, socket } = await oldTarget();
    // Only a connection of TCP can be reset.
    await using server = await scriptedServer(what.includes('resets') ? undefined : socket, script);
    expect(await failsOn(server.uri, target, '--nbd-retries', '0')).toMatch(words);
  });

  // A worker reads in smaller pieces than the main thread, which reads for it until its own connection is made.
  test.each([true, false])(
    'when the size that the server states is a lie (several connections: %s)',
    async (allowsConnections) => {
      const { target, socket } = await oldTarget();
      const end = 3 * 2 ** 20;
      await using server = await scriptedServer(socket, {
        size: 4 * 2 ** 20,
        allowsConnections,
        ...reads((request) => (request.offset + request.length > end ? errorChunk(request, 22) : undefined)),
      });
      expect(await failsOn(server.uri, target)).toContain(': Invalid argument');
    },
  );
});

describe('a server that sends bytes without end', () => {
  longTest('and never the last part of a reply ends the run', async () => {
    const { target, socket } = await oldTarget();
    await using server = await scriptedServer(
      socket,
      reads((request) => {
        if (request.offset === 0 && request.length <= 4096) return undefined;
        const payload = Buffer.alloc(9);
        payload.writeBigUInt64BE(BigInt(request.offset));
        sendEndlessly(request.socket, chunk(request.cookie, 1, payload, false));
        return 'nothing';
      }),
    );
    // A tenth of the time that is allowed to it is used up by a silent server.
    expect(await failsOn(server.uri, target, '--nbd-timeout', '0.1')).toMatch(
      /at offset \d+: the server has sent bytes for 1 second, but no whole answer \(--nbd-timeout\)$/m,
    );
  });

  test('in the handshake ends the run', async () => {
    const { target, socket } = await oldTarget();
    await using server = await scriptedServer(socket, { endlessOption: SET_META_CONTEXT });
    expect(await failsOn(server.uri, target)).toMatch(/: the server sends a handshake without end$/m);
  });
});

test('a server without room for a second client is read through one connection', async () => {
  const { target, socket } = await oldTarget();
  await using server = await scriptedServer(socket, { allowsConnections: false, size: 8 * 2 ** 20 });
  expect(await cli(['convert', '-O', 'raw', server.uri, target])).toMatchObject({ status: 0, stderr: '' });
  expect((await readFile(target)).equals(contentAt(0, 8 * 2 ** 20))).toBe(true);
  expect(server.connections).toBe(1);
});

test('each worker makes a connection if the server allows several', async () => {
  const { target, socket } = await oldTarget();
  await using server = await scriptedServer(socket, { size: 32 * 2 ** 20 });
  const words = ['convert', '-m', '3', '-O', 'raw', server.uri, target];
  expect(await cli(words)).toMatchObject({ status: 0, stderr: '' });
  expect((await readFile(target)).equals(contentAt(0, 32 * 2 ** 20))).toBe(true);
  expect(server.connections).toBeGreaterThan(2);
  expect(server.connections).toBeLessThanOrEqual(4);
});

describe('a lost connection', () => {
  test('is re-established, and the image is that of a server that never failed', async () => {
    const { target, socket } = await oldTarget();
    const size = 8 * 2 ** 20;
    // Each of the first connections serves a few requests only.
    await using server = await scriptedServer(socket, {
      size,
      answer: ({ index }) => (index % 5 === 4 && index < 20 ? 'close' : undefined),
    });
    expect(await cli(['convert', '-O', 'raw', server.uri, target])).toMatchObject({ status: 0, stderr: '' });
    expect((await readFile(target)).equals(contentAt(0, size))).toBe(true);
    expect(server.connections).toBeGreaterThan(3);
  });

  test('is tried again if the server does not open the export at first', async () => {
    const { target, socket } = await oldTarget();
    await using server = await scriptedServer(socket, {
      size: (connection) => (connection === 1 ? 2 ** 63 : 2 ** 20),
      allowsConnections: false,
      ...reads(({ index }) => (index === 2 ? 'close' : undefined)),
    });
    expect(await cli(['convert', '-O', 'raw', server.uri, target])).toMatchObject({ status: 0, stderr: '' });
    expect(server.connections).toBe(3);
  });

  test('to an export that has another size now ends the run', async () => {
    const { target, socket } = await oldTarget();
    await using server = await scriptedServer(socket, {
      size: (connection) => (connection === 0 ? 2 ** 20 : 2 ** 21),
      allowsConnections: false,
      ...reads(() => 'close'),
    });
    expect(await failsOn(server.uri, target)).toContain(
      'the export had 1048576 bytes when it was opened, and has 2097152 on a later connection',
    );
  });
});

test('a size that differs on the connection of a worker ends the run', async () => {
  const { target, socket } = await oldTarget();
  await using server = await scriptedServer(socket, {
    size: (connection) => (connection === 0 ? 2 ** 25 : 2 ** 26),
  });
  expect(await failsOn(server.uri, target)).toContain(
    'the export had 33554432 bytes when it was opened, and has 67108864 on a later connection',
  );
});

describe('block status', () => {
  test('that fails is no reason to fail: the range is read', async () => {
    const { target, socket } = await oldTarget();
    await using server = await scriptedServer(
      socket,
      statuses((request) => errorChunk(request, 22)),
    );
    expect(await cli(['convert', '-O', 'raw', server.uri, target])).toMatchObject({ status: 0, stderr: '' });
    expect((await readFile(target)).equals(contentAt(0, 2 ** 20))).toBe(true);
  });

  longTest('of a hundred thousand ranges in one reply, or of none, is taken in pieces', async () => {
    const { socket } = await oldTarget();
    const size = 2 ** 26;
    await using server = await scriptedServer(socket, {
      size,
      ...statuses((request) => {
        if (request.index === 1) return statusChunk(request, [0, 0, 0, 3]);
        const ranges = Math.min(100_000, request.length / 512);
        return statusChunk(
          request,
          Array.from({ length: 2 * ranges }, (_, at) => (at % 2 === 0 ? 512 : at % 4 === 1 ? 0 : 3)),
        );
      }),
    });
    const { status, stdout } = await cli([
      'map',
      '-f',
      'raw',
      '--output=json',
      '--max-length',
      '64M',
      server.uri,
    ]);
    expect(status).toBe(0);
    // 65536 ranges are taken of the first reply; the second one tells nothing, so the rest is data.
    expect(JSON.parse(stdout)).toHaveLength(65_536 + 1);
  });
});

test('ranges that cannot be read become zeros with --salvage, and are named', async () => {
  const { target, socket } = await oldTarget();
  const bad = 70 * 4096;
  await using server = await scriptedServer(socket, {
    ...reads((request) =>
      request.offset <= bad && request.offset + request.length > bad ? errorChunk(request, 5) : undefined,
    ),
  });
  const { status, stderr } = await cli(['convert', '-O', 'raw', '--salvage', server.uri, target]);
  expect(status).toBe(0);
  expect(stderr).toMatch(/at offset 286720: Input\/output error/);
  const found = await readFile(target);
  expect(found.subarray(bad, bad + 4096).equals(Buffer.alloc(4096))).toBe(true);
  expect(found.subarray(bad + 4096, bad + 8192).equals(contentAt(bad + 4096, 4096))).toBe(true);
});

describe('--salvage does not replace a server', () => {
  test.each<[string, NonNullable<Script['answer']>, string]>([
    ['that closes the connection', () => 'close', 'the server closed the connection'],
    ['that sends nothing more', () => 'nothing', 'the server has sent nothing for 0.5 seconds'],
    ['that sends garbage', () => randomBytes(64), 'magic'],
  ])('%s', async (_, fails, reason) => {
    const { target, socket } = await oldTarget();
    const size = 8 * 2 ** 20;
    const later = reads((request) => (request.offset < size / 2 ? undefined : fails(request)));
    await using server = await scriptedServer(socket, { size, allowsConnections: false, ...later });
    const options = ['--salvage', '--nbd-retries', '0'];
    expect(await failsOn(server.uri, target, ...options)).toContain(reason);
  });

  test('that is gone when a table of a qcow2 image is read', async () => {
    const { target, socket } = await oldTarget();
    await qemuImg.create(scratch('tables.qcow2'), 2 ** 20);
    await runOk('qemu-io', ['-f', 'qcow2', '-c', 'write 0 1M', scratch('tables.qcow2')]);
    const content = await readFile(scratch('tables.qcow2'));
    const l2Table = Number(content.readBigUInt64BE(Number(content.readBigUInt64BE(40))) & 0xfffffffffffe00n);
    await using server = await scriptedServer(socket, {
      ...{ size: content.length, content },
      ...reads(({ offset }) => (offset < l2Table ? undefined : 'close')),
    });
    const options = ['-f', 'qcow2', '--salvage', '--nbd-retries', '0'];
    expect(await failsOn(server.uri, target, ...options)).toContain('the server closed the connection');
  });
});

test('a read error of nbdkit ends the run, and --salvage goes on', async () => {
  const { target, socket } = await oldTarget();
  const filter = ['--filter=error', 'pattern', '4M', 'error-pread=EIO', 'error-pread-rate=100%'];
  await whileNbdkit(socket, filter, async ({ uri }) => {
    expect(await failsOn(uri(), target)).toMatch(/Could not read .* at offset \d+: Input\/output error/);
    // Without -f, the first bytes are read for a warning only; info cannot do without them.
    expect((await cli(['info', uri()])).stderr).toMatch(
      /error; the format cannot be probed: state it with -f FMT\n$/,
    );
    const { status } = await cli(['convert', '-O', 'raw', '--salvage', uri(), target]);
    expect(status).toBe(0);
    expect((await readFile(target)).equals(Buffer.alloc(4 * 2 ** 20))).toBe(true);
  });
});

// nbdkit before 1.34 aborts when a client leaves while several of its requests are being served.
test('a run that fails receives its last answers, and the server goes on', async () => {
  const { target, socket } = await oldTarget();
  const filters = ['--filter=error', '--filter=delay', 'pattern', '64M', 'rdelay=5ms'];
  const faults = ['error-pread=EIO', 'error-pread-rate=20%'];
  await whileNbdkit(socket, [...filters, ...faults], async ({ uri, child }) => {
    for (let run = 0; run < 2; run += 1) await failsOn(uri(), target);
    expect(child.exitCode ?? child.signalCode).toBeNull();
  });
});
