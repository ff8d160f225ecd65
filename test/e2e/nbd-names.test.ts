/** Only the caller can name an NBD export: a name in an image opens no connection. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { beforeAll, describe, expect, test } from 'vitest';
import { convert, mapImage } from '../../src/index.js';
import { type Forged, forgedQcow2 } from '../image/forged-qcow2.js';
import { runOk } from '../oracle/run.js';
import { contentAt, type ScriptedServer, scriptedServer } from '../oracle/scripted-nbd-server.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';

const scratch = useScratch();
const SIZE = 2 ** 20;
const socket = scratch('s');
const uri = `nbd+unix:///?socket=${socket}`;
const old = `nbd:unix:${socket}`;
const out = scratch('out.img');
const other = scratch('other.raw');
const image = scratch('image.qcow2');

beforeAll(() => writeFile(other, Buffer.alloc(SIZE)));

async function whileListening(work: (server: ScriptedServer) => Promise<void>): Promise<void> {
  await using server = await scriptedServer(socket, { size: SIZE });
  await work(server);
}

const COMMANDS = [
  ...['convert -c FILE OUT', 'convert -O raw FILE OUT', 'convert --salvage -O raw FILE OUT'],
  ...['info FILE', 'info --backing-chain FILE', 'info --deep FILE'],
  ...['check FILE', 'check --data FILE', 'check -r all FILE'],
  ...['map FILE', 'map --output=svg FILE', 'measure -O qcow2 FILE', 'measure -c FILE'],
  ...['compare FILE OTHER', 'compare OTHER FILE', 'checksum FILE'],
  'convert -c -B FILE -F qcow2 OTHER OUT',
];

describe('a name in an image opens no connection', () => {
  test.each<[string, Forged]>([
    ['backing file', { backing: uri }],
    ['backing file in a stated format', { backing: uri, backingFormat: 'raw' }],
    ['backing file in the older form', { backing: old, backingFormat: 'raw' }],
    ['backing file behind file:', { backing: `file:${uri}`, backingFormat: 'raw' }],
    ['data file', { dataFile: uri }],
    ['data file behind file:', { dataFile: `file:${old}` }],
  ])('%s', async (_, forged) => {
    await writeFile(image, forgedQcow2({ size: SIZE, ...forged }));
    await whileListening(async (server) => {
      for (const command of COMMANDS) {
        for (const format of [[], ['-f', 'qcow2']]) {
          const [name = '', ...words] = command.split(' ');
          const isComparison = name === 'compare';
          const isBacking = command.includes('-B');
          if (format.length > 0 && isBacking) continue;
          const stated = isComparison && format.length > 0 ? ['-f', 'qcow2', '-F', 'qcow2'] : format;
          const given = words.map((word) => ({ FILE: image, OUT: out, OTHER: other })[word] ?? word);
          await cli([name, ...stated, ...given]);
          expect(server.connections, `${command} ${format.join(' ')}`).toBe(0);
        }
      }
    });
  });

  test('and the refusal says what to do', async () => {
    await writeFile(image, forgedQcow2({ size: SIZE, backing: uri, backingFormat: 'raw' }));
    const { status, stderr } = await cli(['convert', '-f', 'qcow2', image, out]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr:
        `qcow2c: '${image}' has the backing file '${uri}': qcow2c connects to an NBD export only if --image-opts ` +
        'names it, or with --allow-nbd-backing\n',
    });
  });
});

describe('a backing file is read from an export', () => {
  test.each([
    ['with --allow-nbd-backing', ['--allow-nbd-backing', '-f', 'qcow2', image], uri],
    [
      'that --image-opts names',
      ['--image-opts', `driver=qcow2,file.filename=${image},backing.driver=nbd,backing.path=${socket}`],
      '/nowhere',
    ],
  ])('%s', async (_, words, backing) => {
    await writeFile(image, forgedQcow2({ size: SIZE, backing, backingFormat: 'raw' }));
    await whileListening(async () => {
      const { status, stderr } = await cli(['convert', '-O', 'raw', ...words, out]);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect((await readFile(out)).equals(contentAt(0, SIZE))).toBe(true);
    });
  });

  test('that the target of -n names, with --allow-nbd-backing', async () => {
    // The source has a bitmap that lists nothing, so the target's backing file is opened for its size only.
    const source = scratch('source.qcow2');
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', source, String(SIZE)]);
    await runOk('qemu-img', ['bitmap', '--add', source, 'b']);
    const named = ['-u', '-b', uri, '-F', 'raw', image, String(SIZE)];
    await runOk('qemu-img', ['create', '-q', '-f', 'qcow2', ...named]);
    const args = ['convert', '-n', '-O', 'qcow2', '-f', 'qcow2', '--bitmap', 'b', source, image];
    await whileListening(async (server) => {
      expect((await cli(args)).stderr).toContain('has the backing file');
      expect(server.connections).toBe(0);
      const { status, stderr } = await cli([...args, '--allow-nbd-backing']);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    });
  });

  test('but not with --isolated', async () => {
    await writeFile(image, forgedQcow2({ size: SIZE, backing: uri, backingFormat: 'raw' }));
    await whileListening(async (server) => {
      const { status } = await cli([
        'convert',
        '--isolated',
        '--allow-nbd-backing',
        '-f',
        'qcow2',
        image,
        out,
      ]);
      expect([status, server.connections]).toEqual([1, 0]);
    });
  });
});

test('file: and ./ make any name that of a file', async () => {
  await mkdir(scratch('here'));
  await writeFile(scratch('here', 'nbd:x:1'), contentAt(0, SIZE));
  for (const name of ['file:nbd:x:1', './nbd:x:1']) {
    const { status, stderr } = await cli(['convert', '-O', 'raw', name, out], { cwd: scratch('here') });
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect((await readFile(out)).equals(contentAt(0, SIZE))).toBe(true);
  }
});

describe('the library', () => {
  test('takes the name of an export for an image', async () => {
    await whileListening(async () => {
      for (const named of [uri, { file: old, format: 'raw' }] as const) {
        const ranges = [];
        for await (const range of mapImage({ image: named, nbd: { retries: 0 } })) ranges.push(range);
        expect(ranges).toMatchObject([{ start: 0, length: SIZE, data: true }]);
      }
    });
  });

  test('checks its options about NBD', async () => {
    await expect(convert({ sources: [uri], target: out, nbd: { timeoutMs: 0 } })).rejects.toMatchObject({
      code: 'ERR_USAGE',
      message: "'nbd.timeoutMs' must be a whole number from 1 to 86400000, not the number 0",
    });
  });
});

test('a password in a name is refused and not repeated', async () => {
  const { status, stderr } = await cli(['info', 'nbds://user:hunter2@host/disk']);
  expect(status).toBe(1);
  expect(stderr).not.toContain('hunter2');
  expect(stderr).toContain("'nbds://user:***@host/disk'");
});

const SECRET = 'nbd://user:hunter2@host/disk';
test.each([
  ['-B', SECRET, '-F', 'raw', 'disk.raw', 'out.qcow2'],
  ['-o', `backing_file=${SECRET},backing_fmt=raw`, 'disk.raw', 'out.qcow2'],
  ['-o', `data_file=${SECRET}`, 'disk.raw', 'out.qcow2'],
  ['--image-opts', `driver=raw,file.filename=${SECRET}`, 'out.qcow2'],
  ['-n', '--target-image-opts', 'disk.raw', `driver=qcow2,file.filename=${SECRET}`],
  ['http://user:hunter2@host/disk', 'out.qcow2'],
  ['nbd+ssh://user:hunter2@host/disk', 'out.qcow2'],
])('no option of convert repeats a password: %s %s', async (...words) => {
  const { status, stderr } = await cli([
    'convert',
    ...words.map((word) => (word === 'disk.raw' ? other : word)),
  ]);
  expect(status).toBe(1);
  expect(stderr).toContain('user:***@host/disk');
  expect(stderr).not.toContain('hunter2');
});

test.each([
  [['--image-opts', 'driver=https,url=https://host/disk,username=user,password=hunter2'], 'password=***'],
  [['--image-opts', 'driver=raw,file.driver=nbd,file.password=hunter2,file.host=host'], 'password=***,'],
  [['json:{"driver": "nbd", "password": "hunter2"}'], '"password": ***}'],
  [['nbds://host/disk?password=hunter2'], 'a password is not supported'],
])('no option of an image repeats a password: %j', async (words, concealed) => {
  const { status, stderr } = await cli(['info', ...words]);
  expect(status).toBe(1);
  expect(stderr).toContain(concealed);
  expect(stderr).not.toContain('hunter2');
});

test.each([
  'nbd://host/x?tls-certificates=/etc/pki',
  'nbds://host/x?tls-psk-file=/etc/keys',
  'nbds://host/x?tls-verify-peer=false',
])('%s is refused: a URI does not name local files', async (name) => {
  const { status, stderr } = await cli(['info', name]);
  expect(status).toBe(1);
  expect(stderr).toMatch(/'tls-[a-z-]+' is not taken from a URI; use --tls-creds/);
});
