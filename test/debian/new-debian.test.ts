/**
 * A new Debian 13, as debootstrap makes it: the single executable before Node.js is there, the steps of the Dockerfiles,
 * which install the .deb as apt does, and its removal.
 */
import { cp, mkdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { cliOk } from '../e2e/cli.js';
import { useScratch } from '../e2e/scratch.js';
import { makeMixedDisk } from '../e2e/source-images.js';
import { run, runOk } from '../oracle/run.js';
import {
  DEBIAN_PACKAGE,
  EXECUTABLE,
  expectWorkingProgram,
  type Program,
} from '../packages/built-packages.js';
import { dockerfileSteps, RECIPES, readmeBlocks } from '../recipes/recipe-text.js';

const path = useScratch();
const fresh = path('fresh');
const disk = path('disk.raw');
const usual = path('usual.qcow2');
/** Certificates of this machine, which Node.js would look for. */
const env = {
  NODE_EXTRA_CA_CERTS: undefined,
  TMPDIR: undefined,
  HOME: '/root',
  DEBIAN_FRONTEND: 'noninteractive',
};

beforeAll(async () => {
  await runOk('debootstrap', ['--variant=minbase', 'trixie', fresh]);
  await makeMixedDisk(disk);
  await cliOk(['convert', '-c', '-f', 'raw', disk, usual]);
});

/** A command in a root, with the mounts that a container has. */
function inRoot(root: string, ...command: string[]): Program {
  const mounts = `mount -t proc proc ${root}/proc && mount -t tmpfs tmpfs ${root}/dev/shm`;
  return ['unshare', '--mount', 'sh', '-c', `${mounts} && exec chroot ${root} "$@"`, 'sh', ...command];
}

async function runIn(root: string, ...command: string[]): Promise<string> {
  const [program, ...words] = inRoot(root, ...command);
  return runOk(program, words, { env });
}

test('the single executable works before anything else is installed', async () => {
  expect((await run('chroot', [fresh, 'sh', '-c', 'command -v node'])).status).toBe(127);
  await cp(EXECUTABLE, join(fresh, 'usr/local/bin/qcow2c'));
  await cp(disk, join(fresh, 'tmp/disk.raw'));
  for (const words of [
    ['convert', '-c', '-m', '2', '--verify', '-f', 'raw', '/tmp/disk.raw', '/tmp/out.qcow2'],
    ['check', '--data', '/tmp/out.qcow2'],
    ['compare', '-f', 'raw', '/tmp/disk.raw', '/tmp/out.qcow2'],
  ])
    await runIn(fresh, 'qcow2c', ...words);
  expect(await runIn(fresh, 'qcow2c', '--version')).toMatch(/^lseek +koffi$/m);
  await runIn(fresh, 'rm', '/usr/local/bin/qcow2c', '/tmp/disk.raw', '/tmp/out.qcow2');
});

/** Performs a Dockerfile's steps in a copy of the new Debian. @returns the root and the words of its entry point */
async function perform(text: string, name: string): Promise<{ root: string; entry: string[] }> {
  const root = path(name);
  const values: Record<string, string> = {};
  const filled = (words: string) =>
    words.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => values[variable]!);
  let entry: string[] = [];
  for (const { instruction, words } of dockerfileSteps(text)) {
    if (instruction === 'FROM') {
      expect(words).toBe('debian:trixie-slim');
      await runOk('cp', ['-a', fresh, root]);
    } else if (instruction === 'ARG') {
      const [variable, value] = words.split('=');
      values[variable!] = value!;
    } else if (instruction === 'COPY') {
      const [from, to] = filled(words).split(' ');
      expect(from).toBe(basename(DEBIAN_PACKAGE));
      await cp(DEBIAN_PACKAGE, join(root, to!, from!));
    } else if (instruction === 'RUN') {
      await runIn(root, '/bin/sh', '-c', filled(words));
    } else if (instruction === 'WORKDIR') {
      await mkdir(join(root, words), { recursive: true });
    } else {
      entry = JSON.parse(words) as string[];
    }
  }
  return { root, entry };
}

describe.each([
  ['of README.md', async () => readmeBlocks('dockerfile')[0]!],
  ['of the recipes', () => readFile(join(RECIPES, 'container', 'Dockerfile'), 'utf8')],
])('the Dockerfile %s', (name, text) => {
  let root = '';
  let entry: string[] = [];
  beforeAll(async () => {
    ({ root, entry } = await perform(await text(), name.replaceAll(/\W/g, '-')));
  });

  test('installs a program that works with every library', async () => {
    await cp(disk, join(root, 'images/disk.raw'));
    const images = { here: join(root, 'images'), there: '/images' };
    await expectWorkingProgram(inRoot(root, ...entry), images, { env });
    // Another version of libdeflate may give other bytes, but the same disk.
    await cliOk(['compare', '-f', 'raw', disk, join(root, 'images/out.qcow2')]);
  });

  test('leaves no package and no list behind', async () => {
    expect(await runIn(root, 'sh', '-c', 'ls /tmp; ls /var/lib/apt/lists')).toBe('');
  });
});

describe('the .deb', () => {
  const root = path('installed');
  beforeAll(async () => {
    await runOk('cp', ['-a', fresh, root]);
    // The slim image leaves out manual pages.
    await cp(DEBIAN_PACKAGE, join(root, 'tmp', basename(DEBIAN_PACKAGE)));
    await runIn(root, 'apt-get', 'update', '-q');
    const packages = [`/tmp/${basename(DEBIAN_PACKAGE)}`, 'man-db', 'bash-completion', 'zsh', 'fish'];
    await runIn(root, 'apt-get', 'install', '-qy', ...packages);
  });

  test('brings the recommended libraries', async () => {
    for (const name of ['libdeflate0', 'libisal2', 'libzstd1', 'libnbd0'])
      expect(await runIn(root, 'dpkg-query', '-W', '-f', `\${Status}`, name)).toBe('install ok installed');
  });

  test('brings the manual page, and completions that the shells find', async () => {
    expect(await runIn(root, 'man', '--where', 'qcow2c')).toBe('/usr/share/man/man1/qcow2c.1.gz\n');
    const completions =
      '. /usr/share/bash-completion/bash_completion; _completion_loader qcow2c; complete -p qcow2c';
    expect(await runIn(root, 'bash', '-c', completions)).toContain('qcow2c');
    expect(await runIn(root, 'zsh', '-c', 'autoload -U compinit; compinit -u; echo $_comps[qcow2c]')).toBe(
      '_qcow2c\n',
    );
    expect(await runIn(root, 'fish', '-c', 'complete -C "qcow2c conv"')).toMatch(/^convert/);
  });

  test('leaves nothing when it is purged', async () => {
    await runIn(root, 'apt-get', 'purge', '-qy', 'qcow2c');
    const left = await runIn(root, 'find', '/usr', '/etc', '/var/lib/dpkg/info', '-name', '*qcow2c*');
    expect(left).toBe('');
  });
});
