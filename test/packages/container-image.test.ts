/** The container image: unpacked by umoci, and its command run in it as an engine would, without one. */
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { cliOk } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { makeMixedDisk } from '../e2e/source-images.js';
import { run, runOk } from '../oracle/run.js';
import { expectWorkingProgram, IMAGE, type Program, VERSION } from './built-packages.js';

interface Config {
  readonly config: { readonly Entrypoint: string[]; readonly WorkingDir: string };
}

const path = useScratch();
const root = path('bundle', 'rootfs');
let words: readonly string[] = [];
beforeAll(async () => {
  await runOk('umoci', ['unpack', '--rootless', '--image', `${IMAGE}:${VERSION}`, path('bundle')]);
  const { config } = JSON.parse(await blob((await manifest()).config.digest)) as Config;
  expect(config.WorkingDir).toBe('/images');
  words = config.Entrypoint;
  await mkdir(path('bundle/rootfs/images'));
  await makeMixedDisk(path('bundle/rootfs/images/disk.raw'));
});

const blob = (digest: string) => readFile(`${IMAGE}/blobs/${digest.replace(':', '/')}`, 'utf8');

async function manifest(): Promise<{ config: { digest: string }; layers: { digest: string }[] }> {
  const { manifests } = JSON.parse(await readFile(`${IMAGE}/index.json`, 'utf8')) as {
    manifests: { digest: string }[];
  };
  expect(manifests).toHaveLength(1);
  return JSON.parse(await blob(manifests[0]!.digest));
}

/** Only the volume can be written, and Node.js gets nothing of this machine's environment. */
function program(): Program {
  const mounts = `mount --bind ${root} ${root} && mount --bind ${root}/images ${root}/images`;
  const sealed = `${mounts} && mount -o remount,bind,ro ${root} && exec chroot ${root} "$@"`;
  return ['unshare', '--mount', 'sh', '-c', sealed, 'sh', ...words];
}
const env = { NODE_EXTRA_CA_CERTS: undefined, TMPDIR: undefined, HOME: undefined };

test('its command works on a volume, where nothing else can be written', async () => {
  const images = { here: path('bundle/rootfs/images'), there: '/images' };
  await expectWorkingProgram(program(), images, { env });
  await cliOk(['convert', '-c', '-f', 'raw', path('bundle/rootfs/images/disk.raw'), path('usual.qcow2')]);
  const made = await readFile(path('bundle/rootfs/images/out.qcow2'));
  expect(made.equals(await readFile(path('usual.qcow2')))).toBe(true);
  expect((await readdir(path('bundle/rootfs/images'))).sort()).toEqual([
    'disk.raw',
    'nbd.qcow2',
    'out.qcow2',
  ]);
});

test('an error has its exit code', async () => {
  const [command, ...rest] = program();
  const { status, stderr } = await run(command, [...rest, 'compare', 'none', 'none'], { env });
  expect([status, stderr]).toEqual([2, expect.stringMatching(/^qcow2c: Could not open 'none'/)]);
});

test('it holds no shell, no package manager and no other program, and the licence of each library', async () => {
  expect(await readdir(path('bundle/rootfs/usr/bin'))).toEqual(['node']);
  const programs = await runOk('find', [root, '-type', 'f', '-perm', '/111', '!', '-name', '*.so*']);
  expect(programs.trim().split('\n')).toEqual([path('bundle/rootfs/usr/bin/node')]);
  expect(await readdir(path('bundle/rootfs/usr/share/doc'))).toEqual(
    expect.arrayContaining(['libc6', 'libdeflate0', 'libisal2', 'libnbd0', 'libzstd1', 'nodejs', 'qcow2c']),
  );
});
