/** The commands of docs/backup.md, read from the document, with real servers; libvirt is played by a script. */
import { once } from 'node:events';
import { chmod, copyFile, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { whileQemuNbd } from '../oracle/nbd-server.js';
import { qemuIo } from '../oracle/qemu-io.js';
import { run, runOk } from '../oracle/run.js';
import { ROOT } from './cli.js';
import { useScratch } from './scratch.js';
import { patchworkBytes } from './source-images.js';
import { storedClusters } from './stored-clusters.js';

const path = useScratch();
const MIB = 1024 * 1024;
const SIZE = 2 * MIB;
const disk = path('disk.qcow2');
const store = path('backups', 'web');
/** The image that the document restores. */
const IMAGE = 'vda.20261130-010000.qcow2';

/** Plays virsh for a machine with one disk: an export of the disk, and a bitmap for the last checkpoint. */
const VIRSH = `#!/bin/bash
set -e
echo "$@" >> calls
case $1 in
  domblklist) printf ' Type  Device  Target  Source\\n---\\n file  disk  vda  disk.qcow2\\n file  cdrom  sda  -\\n' ;;
  backup-begin)
    grep -q "<name>" "$4"
    socket=$(sed -n "s/.*socket='\\([^']*\\)'.*/\\1/p" "$3")
    bitmap=()
    if grep -q "<incremental>$(cat checkpoint)</incremental>" "$3"; then bitmap=(-B backup-vda); fi
    if [ -e broken ]; then bitmap=(); fi
    sed -n 's/.*<name>\\(.*\\)<.name>.*/\\1/p' "$4" > next
    qemu-nbd --fork -t -r -f qcow2 -x vda -k "$socket" -e 8 --pid-file "$PWD/server" "\${bitmap[@]}" disk.qcow2 ;;
  domjobabort)
    kill "$(cat server)"
    while kill -0 "$(cat server)" 2>/dev/null; do sleep 0.01; done
    if [ -e broken ]; then exit; fi
    mv next checkpoint
    qemu-img bitmap --remove disk.qcow2 backup-vda
    qemu-img bitmap --add -g 64k disk.qcow2 backup-vda ;;
  checkpoint-delete) [ ! -e stuck ] ;;
esac
`;

/** Fails for the directory if a test asks for it. */
const SYNC = `#!/bin/bash
if [ -d "$1" ] && [ -e unsynced ]; then echo "sync: error syncing '$1': Input/output error" >&2; exit 1; fi
`;

/** Tells another second at each call. */
const DATE = `#!/bin/bash
echo . >> seconds
echo "20261130-01000$(wc -l < seconds)"
`;

/** The blocks of commands in the document, with this machine's paths. */
let blocks: string[];
let server: Server;

beforeAll(async () => {
  await mkdir(store, { recursive: true });
  await mkdir(path('bin'));
  // One work item, which needs no thread: most commands here are processes.
  const raw = patchworkBytes(SIZE);
  await writeFile(path('disk.raw'), raw);
  await runOk('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', path('disk.raw'), disk]);
  await runOk('qemu-img', ['bitmap', '--add', disk, 'backup-vda']);
  await writeFile(path('checkpoint'), 'none');
  await runOk('xz', ['-k', path('disk.raw')]);
  server = createServer((request, response) => {
    const [, from, to] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    const part = from === undefined ? raw : raw.subarray(Number(from), Number(to) + 1);
    const headers = { 'accept-ranges': 'bytes', 'content-length': part.length };
    response.writeHead(from === undefined ? 200 : 206, headers);
    response.end(request.method === 'HEAD' ? undefined : part);
  }).listen(0, 'localhost');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const text = await readFile(join(ROOT, 'docs', 'backup.md'), 'utf8');
  const places: readonly (readonly [string, string])[] = [
    ['/var/backups', path('backups')],
    ['/var/tmp', path('')],
    ['/srv/restored.raw', path('restored.raw')],
    ['/srv/started.qcow2', path('started.qcow2')],
    ['/run/restore.sock', path('restore.sock')],
    ['https://example.org', `http://localhost:${port}`],
  ];
  for (const [place] of places) expect(text).toContain(place);
  blocks = [...text.matchAll(/^```bash\n(.*?)^```$/gms)].map(([, block]) =>
    places.reduce((words, [place, here]) => words.replaceAll(place, here), block!),
  );
  const script = blocks.find((block) => block.startsWith('#!/bin/bash'))!;
  const programs = {
    virsh: VIRSH,
    sync: SYNC,
    date: DATE,
    'backup-machine': script,
    qcow2c: `#!/bin/bash\nexec '${process.execPath}' '${join(ROOT, 'bin', 'qcow2c.js')}' "$@"\n`,
  };
  for (const [name, content] of Object.entries(programs)) {
    await writeFile(path('bin', name), content);
    await chmod(path('bin', name), 0o755);
  }
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

const options = () => ({ cwd: path(''), env: { PATH: `${path('bin')}:${process.env['PATH']}` } });
const backup = () => run('backup-machine', ['web', store], options());

/** Runs the commands of the block that contains these words. @param without commands with one of these words */
async function runBlock(words: string, without: readonly string[] = []): Promise<string> {
  const found = blocks.filter((block) => block.includes(words) && !block.startsWith('#!'));
  expect(found).toHaveLength(1);
  const commands = found[0]!.replaceAll('\\\n', '').split('\n');
  const lines = commands.filter((command) => without.every((word) => !command.includes(word)));
  return runOk('bash', ['-euc', lines.join('\n')], options());
}

const images = async () => (await readdir(store)).filter((name) => name.endsWith('.qcow2')).sort();
const last = async () => (await readFile(join(store, 'last'), 'utf8')).trim();
const compare = (one: string, other: string, format = 'qcow2') =>
  runOk('qemu-img', ['compare', '-f', 'qcow2', '-F', format, one, other]);

test('the script makes a full backup, then incremental ones; a run that fails leaves nothing', async () => {
  expect(await backup()).toMatchObject({ status: 0 });
  const full = 'vda.20261130-010001.qcow2';
  expect([await images(), await last()]).toEqual([[full], '20261130-010001']);
  await qemuIo(disk, ['write -q -P 3 512k 64k', 'write -q -z 1M 64k']);

  // The server has no such bitmap.
  await writeFile(path('broken'), '');
  expect(await backup()).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("Dirty bitmap 'backup-vda' not found"),
  });
  expect([await images(), await last()]).toEqual([[full], '20261130-010001']);
  const calls = () => readFile(path('calls'), 'utf8');
  expect(await calls()).toMatch(/\ndomjobabort web\ncheckpoint-delete web 20261130-010002\n$/);
  await rm(path('broken'));

  // The new backup is complete, and the next one continues from it.
  await writeFile(path('stuck'), '');
  expect(await backup()).toMatchObject({ status: 0 });
  await rm(path('stuck'));
  const incremental = 'vda.20261130-010003.qcow2';
  expect([await images(), await last()]).toEqual([[full, incremental], '20261130-010003']);
  expect(await storedClusters(join(store, incremental), 65_536)).toEqual([MIB / 2, MIB]);
  expect(await compare(disk, join(store, incremental))).toBe('Images are identical.\n');
  expect(await calls()).toMatch(/\ndomjobabort web\ncheckpoint-delete web 20261130-010001\n$/);
  await copyFile(join(store, incremental), join(store, IMAGE));
});

test('a run that cannot make its renaming durable fails, and keeps the last checkpoint', async () => {
  const before = await last();
  await writeFile(path('unsynced'), '');
  expect(await backup()).toMatchObject({
    status: 1,
    stderr: `sync: error syncing '${store}': Input/output error\n`,
  });
  await rm(path('unsynced'));
  expect(await last()).not.toBe(before);
  expect(await readFile(path('calls'), 'utf8')).toMatch(/\ndomjobabort web\n$/);
});

describe('with that backup', () => {
  test('it is checked, and compared with the frozen disk', async () => {
    expect(await runBlock('qcow2c check')).toBe('');
    await writeFile(path('begin.xml'), `<server socket='${path('backup-web.sock')}'/>`);
    await writeFile(path('name.xml'), '<name>none</name>');
    await runOk('virsh', ['backup-begin', 'web', 'begin.xml', 'name.xml'], options());
    expect(await runBlock('qcow2c compare')).toBe('Images are identical.\n');
    await runOk('virsh', ['domjobabort', 'web'], options());
  });

  test('it is restored, started from and joined', async () => {
    await runBlock('/restored.raw');
    expect(await compare(disk, path('restored.raw'), 'raw')).toBe('Images are identical.\n');
    expect(await compare(disk, path('started.qcow2'))).toBe('Images are identical.\n');
    await writeFile(path('export.raw'), '');
    await truncate(path('export.raw'), SIZE);
    await whileQemuNbd(path('restore.sock'), ['-f', 'raw', '-x', 'vda', path('export.raw')], () =>
      runBlock('restore.sock'),
    );
    expect(await compare(disk, path('export.raw'), 'raw')).toBe('Images are identical.\n');
    await runBlock('joined.qcow2');
    expect(await compare(disk, join(store, 'joined.qcow2'))).toBe('Images are identical.\n');
    const { size } = await stat(join(store, 'joined.qcow2'));
    expect(size).toBeGreaterThan((await stat(join(store, IMAGE))).size);
  });
});

test('nbdkit’s sources', async () => {
  // No server for ssh, and no library of VMware.
  await runBlock('nbdkit', [' ssh ', ' vddk ']);
  for (const name of ['from-web.qcow2', 'from-xz.qcow2']) {
    expect(await compare(path(name), path('disk.raw'), 'raw')).toBe('Images are identical.\n');
  }
});
