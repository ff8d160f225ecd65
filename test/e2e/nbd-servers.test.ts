/** NBD servers as they are run: with TLS, block sizes, few clients or a qcow2 image, and killed at any moment. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { watch } from 'node:fs';
import { mkdir, readdir, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { setTimeout as later } from 'node:timers/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { roundUp } from '../../src/arithmetic.js';
import { Random } from '../fuzz/random.js';
import { whileNbdkit, whileNbdkitOnPort, whileQemuNbd } from '../oracle/nbd-server.js';
import { runOk } from '../oracle/run.js';
import { shortened, tries } from '../stage.js';
import { cli, startCli } from './cli.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk, makeSparseDisk, TIB } from './source-images.js';

const path = useScratch();
const disk = path('disk.raw');
const expected = path('expected.qcow2');
const plain = path('plain.qcow2');
let made = 0;

beforeAll(async () => {
  await makeMixedDisk(disk);
  // A server can only serve whole blocks.
  await truncate(disk, roundUp((await stat(disk)).size, 65_536));
  await succeeds('convert', '-f', 'raw', '-c', disk, expected);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', disk, plain]);
});

/** @returns what the command printed */
async function succeeds(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await cli(args);
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  return stdout;
}

async function fails(...args: string[]): Promise<string> {
  const { status, stdout, stderr } = await cli(args);
  expect({ status, stdout }).toEqual({ status: 1, stdout: '' });
  return stderr;
}

async function expectDisk(...source: string[]): Promise<void> {
  const target = path('out.qcow2');
  await succeeds('convert', '-c', ...source, target);
  expect((await readFile(target)).equals(await readFile(expected))).toBe(true);
}

describe('TLS', () => {
  const [pki, client, stranger, psk] = [path('pki'), path('client'), path('stranger'), path('psk')];
  const key = randomBytes(32).toString('hex');

  beforeAll(async () => {
    for (const directory of [pki, client, stranger, psk]) await mkdir(directory);
    await writeFile(path('names'), 'subjectAltName=DNS:localhost\n');
    const openssl = (...args: string[]) => runOk('openssl', args);
    const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
    for (const directory of [pki, stranger]) {
      const files = ['-keyout', `${directory}/ca-key.pem`, '-out', `${directory}/ca-cert.pem`];
      await openssl('req', '-x509', ...newKey, '-subj', '/CN=ca', '-days', '2', ...files);
    }
    const request = ['-keyout', `${pki}/server-key.pem`, '-out', `${pki}/server.csr`];
    await openssl('req', ...newKey, '-subj', '/CN=server', ...request);
    const signed = [
      '-CA',
      `${pki}/ca-cert.pem`,
      '-CAkey',
      `${pki}/ca-key.pem`,
      '-CAcreateserial',
      '-days',
      '2',
    ];
    const names = ['-extfile', path('names'), '-out', `${pki}/server-cert.pem`];
    await openssl('x509', '-req', '-in', `${pki}/server.csr`, ...signed, ...names);
    await runOk('cp', [`${pki}/ca-cert.pem`, client]);
    await writeFile(`${psk}/keys.psk`, `alice:${key}\n`);
  });

  test('with certificates: the authority and the host name are checked', async () => {
    const port = await freePort();
    await whileNbdkitOnPort(port, ['--tls=require', `--tls-certificates=${pki}`, 'file', disk], async () => {
      const uri = (host: string) => `nbds://${host}:${port}/`;
      await expectDisk('--tls-creds', client, uri('localhost'));
      // A directory with credentials asks for TLS, for any name.
      await expectDisk('--tls-creds', client, `nbd://localhost:${port}/`);
      const target = path('none');
      expect(await fails('convert', '--tls-creds', client, uri('127.0.0.1'), target)).toContain(
        'certificate',
      );
      expect(await fails('convert', '--tls-creds', stranger, uri('localhost'), target)).toContain(
        'certificate',
      );
      expect(await fails('convert', uri('localhost'), target)).toContain('needs --tls-creds DIR');
      expect(await fails('convert', `nbd://localhost:${port}/`, target)).toContain(
        '(use nbds: or --tls-creds)',
      );
    });
  });

  test('a server that asks for a client certificate closes the connection: the message names the files', async () => {
    const args = ['--tls=require', '--tls-verify-peer', `--tls-certificates=${pki}`, 'file', disk];
    await whileNbdkit(path('s'), args, async ({ socket }) => {
      const uri = `nbds+unix:///?socket=${socket}`;
      expect(await fails('convert', '--tls-creds', client, uri, path('none'))).toContain(
        'the server closed the connection; it may ask for a client certificate: client-cert.pem',
      );
      // libnbd uses a certificate only with its key.
      const keyless = path('keyless');
      await mkdir(keyless);
      for (const name of ['ca-cert.pem', 'client-cert.pem']) {
        await runOk('cp', [`${client}/ca-cert.pem`, `${keyless}/${name}`]);
      }
      expect(await fails('convert', '--tls-creds', keyless, uri, path('none'))).toContain('client-key.pem');
    });
  });

  test('with a pre-shared key, which no message shows', async () => {
    await whileNbdkit(
      path('s'),
      ['--tls=require', `--tls-psk=${psk}/keys.psk`, 'file', disk],
      async ({ socket }) => {
        const uri = (user: string) => `nbds+unix://${user}/?socket=${socket}`;
        await expectDisk('--tls-creds', psk, uri(''));
        await expectDisk('--tls-creds', psk, uri('alice@'));
        const message = await fails('convert', '--tls-creds', psk, uri('bob@'), path('none'));
        expect(message).toContain('bob');
        expect(message).not.toContain(key);
      },
    );
  });

  test('is not given up when the server has none', async () => {
    await whileNbdkit(path('s'), ['file', disk], async ({ uri }) => {
      const message = await fails('convert', '--tls-creds', client, uri(), path('none'));
      expect(message).toContain('the server does not offer TLS');
    });
  });

  test('needs a directory with the files', async () => {
    await mkdir(path('empty'));
    const message = await fails('info', '--tls-creds', path('empty'), 'nbds://localhost/');
    expect(message).toContain('has neither ca-cert.pem nor keys.psk');
    await writeFile(path('empty/keys.psk'), '# no key\n');
    const noKey = await fails('info', '--tls-creds', path('empty'), 'nbds://localhost/');
    expect(noKey).toContain('has no key: a line with one is USER:KEY');
  });
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('a server with the old handshake has no names: a name is refused, not ignored', async () => {
  await whileNbdkit(path('s'), ['-o', 'file', disk], async ({ uri }) => {
    await expectDisk(uri());
    for (const command of [['info'], ['convert', '-c']]) {
      const target = command.length > 1 ? [path('none')] : [];
      expect(await fails(...command, uri('vda'), ...target)).toContain(
        "the server takes no names of exports (old handshake), and 'vda' is asked for",
      );
    }
  });
});

test.each(
  shortened(
    [
      ['512', '65536'],
      ['65536', '1048576'],
    ] as const,
    1,
  ),
)('requests are multiples of %s bytes, and at most %s bytes', async (minimum, maximum) => {
  const sizes = [`blocksize-minimum=${minimum}`, `blocksize-maximum=${maximum}`, 'blocksize-preferred=65536'];
  const args = ['--filter=blocksize-policy', 'file', disk, ...sizes, 'blocksize-error-policy=error'];
  await whileNbdkit(path('s'), args, async ({ uri }) => {
    await expectDisk(uri());
    // Reads of a qcow2 image's tables and payloads have any length.
  });
  await whileNbdkit(path('s'), [...args.slice(0, 2), expected, ...args.slice(3)], async ({ uri }) => {
    await expectDisk('-f', 'qcow2', '--recompress', uri());
  });
});

test('a slow server is read in full', async () => {
  // In bits per second.
  await whileNbdkit(path('s'), ['--filter=rate', 'file', disk, 'rate=200M'], ({ uri }) => expectDisk(uri()));
});

test('scattered ranges of random data are what qemu-img reads', async () => {
  await whileNbdkit(path('s'), ['sparse-random', '64M', 'seed=1'], async ({ uri }) => {
    const [copy, fromFile, fromExport] = [path('copy.raw'), path('file.qcow2'), path('export.qcow2')];
    await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'raw', uri(), copy]);
    await succeeds('convert', '-c', '-f', 'raw', copy, fromFile);
    await succeeds('convert', '-c', uri(), fromExport);
    expect((await readFile(fromExport)).equals(await readFile(fromFile))).toBe(true);
  });
});

test.each(shortened(['1', '4'], 1))('a server for %s clients serves four workers', async (clients) => {
  await whileQemuNbd(path('s'), ['-r', '-e', clients, '-f', 'raw', disk], ({ uri }) =>
    expectDisk('-m', '4', uri()),
  );
});

test('a server that refuses a second client serves two workers, and commands one after the other', async () => {
  await whileNbdkit(path('s'), ['--filter=limit', 'file', disk, 'limit=1'], async ({ uri }) => {
    await expectDisk(uri());
    const names = Array.from({ length: 10 }, () => uri());
    expect((await succeeds('checksum', ...names)).trim().split('\n')).toHaveLength(10);
  });
});

describe('a qcow2 image in an export', () => {
  test('is read by every command, with -f qcow2 where content is read', async () => {
    await whileQemuNbd(path('s'), ['-r', '-e', '4', '-f', 'raw', plain], async ({ uri }) => {
      await expectDisk('-f', 'qcow2', uri());
      expect(await succeeds('compare', '-f', 'qcow2', '-F', 'raw', uri(), disk)).toBe(
        'Images are identical.\n',
      );
      expect(await succeeds('check', uri())).toContain('No errors were found on the image.');
      expect(await succeeds('info', uri())).toContain('file format: qcow2');
      expect(await succeeds('map', '-f', 'qcow2', '--output=json', uri())).toContain('"offset"');
      const measured = ['measure', '-O', 'qcow2', '-f', 'qcow2'];
      expect(await succeeds(...measured, uri())).toBe(await succeeds(...measured, plain));
      expect(await fails('check', '-r', 'all', uri())).toContain(
        'repair the file behind it, or repair a copy',
      );
    });
  });

  test('is a raw disk without -f: a guest may write a header onto its disk', async () => {
    await whileQemuNbd(path('s'), ['-r', '-e', '4', '-f', 'raw', plain], async ({ uri }) => {
      const target = path('raw-copy');
      const { status, stderr } = await cli(['convert', '-O', 'raw', uri(), target]);
      expect(status).toBe(0);
      expect(stderr).toContain('begins as an image in the format qcow2, and is read as a raw disk');
      expect((await readFile(target)).equals(await readFile(plain))).toBe(true);
    });
  });
});

test('info lists the exports and meta contexts of the server', async () => {
  await whileQemuNbd(path('s'), ['-r', '-x', 'vda', '-D', 'the disk', '-f', 'raw', disk], async ({ uri }) => {
    const { children } = JSON.parse(await succeeds('info', '--output=json', uri('vda')));
    expect(children[0].info).toMatchObject({
      format: 'nbd',
      'format-specific': {
        data: {
          'read-only': true,
          'meta-contexts': ['base:allocation'],
          exports: [{ name: 'vda', description: 'the disk' }],
        },
      },
    });
    const message = await fails('info', uri('vdb'));
    expect(message).toBe(
      `qcow2c: Could not open '${uri('vdb')}': server has no export named 'vdb'; it has 'vda'\n`,
    );
    const converting = await fails('convert', uri('vdb'), path('none'));
    expect(converting).toBe(
      `qcow2c: Could not open '${uri('vdb')}': server has no export named 'vdb' (qcow2c info lists those it has)\n`,
    );
  });
});

test('a disk of 1 TiB with little in it is planned by its block status', async () => {
  const big = path('big.raw');
  await makeSparseDisk(big, TIB, [
    [TIB / 2, randomBytes(100_000)],
    [TIB - 4096, randomBytes(4096)],
  ]);
  await whileQemuNbd(path('s'), ['-r', '-e', '4', '-f', 'raw', big], async ({ uri }) => {
    await succeeds('convert', '-c', uri(), path('big.qcow2'));
    await succeeds('convert', '-c', big, path('big-file.qcow2'));
  });
  expect((await readFile(path('big.qcow2'))).equals(await readFile(path('big-file.qcow2')))).toBe(true);
});

describe('a server that is killed', () => {
  test('at any moment ends the run with one line, and leaves the old target', async () => {
    const random = new Random(Math.floor(Math.random() * 2 ** 31));
    const target = path('old', 'target.qcow2');
    await mkdir(dirname(target));
    for (let round = 0; round < tries(20); round += 1) {
      await writeFile(target, 'the old target');
      const slow = ['--filter=delay', 'pattern', '64M', 'delay-read=5ms'];
      await whileNbdkit(path('s'), slow, async ({ child, uri }) => {
        const words = ['convert', '-c', '-O', 'qcow2', '--nbd-retries', '0', uri(), target];
        const run = startCli(words);
        await later(150 + random.below(400));
        child.kill('SIGKILL');
        const { status, stderr } = await run.finished;
        expect(stderr).toMatch(/^(qcow2c: Could not [^\n]+\n)?$/);
        if (status === 0) return;
        expect(stderr).toContain(uri());
        expect(await readFile(target, 'utf8')).toBe('the old target');
      });
      expect(await readdir(dirname(target))).toEqual(['target.qcow2']);
    }
  });

  const all = ['-r', '-e', '8', '-f', 'raw', disk];
  test.each([
    ['serves the rest', all],
    ['for fewer clients serves the rest', ['-r', '-e', '1', '-f', 'raw', disk]],
  ])('and started again %s', async (_, again) => {
    made += 1;
    const target = path(`restarted${made}`, 'target.qcow2');
    await mkdir(dirname(target));
    const watcher = watch(dirname(target));
    const socket = path('s');
    const slow = ['--filter=delay', 'file', disk, 'delay-read=20ms'];
    const run = await whileNbdkit(socket, slow, async ({ uri }) => {
      const started = startCli(['convert', '-c', '-m', '3', '--nbd-timeout', '10', uri(), target]);
      // The target is made when the sources are open.
      await once(watcher, 'change');
      await later(200);
      return started;
    });
    watcher.close();
    const { status, stderr } = await whileQemuNbd(socket, again, () => run.finished);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect((await readFile(target)).equals(await readFile(expected))).toBe(true);
  });
});
