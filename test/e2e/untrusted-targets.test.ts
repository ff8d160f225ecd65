/** Names that form a loop, or lead to files that are not disks: each command reports it and ends. */
import { chmodSync, linkSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { forgedQcow2 } from '../image/forged-qcow2.js';
import { runOk } from '../oracle/run.js';
import { readTrace, underStrace, unquote } from '../oracle/strace.js';
import { cli } from './cli.js';
import { useScratch } from './scratch.js';

const path = useScratch();
const [other, out, log] = [path('other.raw'), path('out.img'), path('trace')];

/** The exit code of each command when an image cannot be opened. */
const COMMANDS: readonly (readonly [command: string, status: number])[] = [
  ['convert -f qcow2 FILE OUT', 1],
  ['convert -O raw FILE OUT', 1],
  ['compare -f qcow2 FILE OTHER', 2],
  ['compare -F qcow2 OTHER FILE', 2],
  ['map -f qcow2 FILE', 1],
  ['map -f qcow2 --output=svg FILE', 1],
  ['measure -f qcow2 -O qcow2 FILE', 1],
  ['measure -f qcow2 -c FILE', 1],
  ['info -f qcow2 --backing-chain FILE', 1],
];
/** Those that open nothing but the image. */
const ALONE: readonly (readonly [command: string, status: number])[] = [
  ['info -f qcow2 FILE', 1],
  ['info FILE', 1],
  ['check -f qcow2 FILE', 1],
  ['check -r all FILE', 1],
];

beforeAll(() => {
  writeFileSync(other, Buffer.alloc(4096));
  mkdirSync(path('directory'));
});

const wordsOf = (command: string, file: string) => {
  const replaced: Readonly<Record<string, string>> = { FILE: file, OTHER: other, OUT: out };
  return command.split(' ').map((word) => replaced[word] ?? word);
};

async function expectRefused(command: string, file: string, status: number, line: RegExp): Promise<void> {
  const outcome = await cli(wordsOf(command, file));
  expect({ command, ...outcome }).toMatchObject({ command, status, stdout: '' });
  expect(outcome.stderr).toMatch(/^qcow2c: [^\n]+\n$/);
  expect(outcome.stderr).toMatch(line);
}

function forge(name: string, backing: string): string {
  writeFileSync(path(name), forgedQcow2({ backing, backingFormat: 'qcow2', size: 65_536 }));
  return path(name);
}

describe('a chain that is a loop', () => {
  const loops: readonly (readonly [string, () => string])[] = [
    ['of one image', () => forge('self', 'self')],
    ['of three', () => [forge('c', 'a'), forge('b', 'c'), forge('a', 'b')][2] ?? ''],
    [
      'through a symbolic link',
      () => {
        symlinkSync('linked', path('symbolic'));
        return forge('linked', 'symbolic');
      },
    ],
    [
      'through a hard link',
      () => {
        const image = forge('hard', 'other-name');
        linkSync(image, path('other-name'));
        return image;
      },
    ],
    ['through /proc', () => forge('proc', `/proc/self/root${path('proc')}`)],
  ];

  test.each(loops)('%s is refused by every command that follows names', async (_, make) => {
    const image = make();
    for (const [command, status] of COMMANDS.filter(([command]) => !command.includes('-O raw'))) {
      await expectRefused(command, image, status, /form a loop|infinite loop/);
    }
    // The others do not see it.
    const checked = await cli(['check', '-f', 'qcow2', image]);
    expect(checked.stderr).not.toContain('loop');
    expect((await cli(['info', image])).status).toBe(0);
  });
});

describe.each([
  ['a directory', 'directory', /a directory/i],
  ['a named pipe', 'pipe', /a pipe|is a stream/],
  ['a character device', '/dev/zero', /a character device/],
  ['a terminal', '/dev/tty', /a character device/],
  ['a symbolic link to itself', 'circle', /: Too many symbolic links|: Too many levels|ELOOP|loop/i],
  ['a link to nothing', 'dangling', /: No such file or directory/],
])('%s', (_, name, reason) => {
  const target = name.startsWith('/') ? name : path(name);
  beforeAll(async () => {
    if (name === 'pipe') await runOk('mkfifo', [target]);
    if (name === 'circle') symlinkSync('circle', target);
    if (name === 'dangling') symlinkSync('nowhere', target);
  });

  test('as the image is refused by every command', async () => {
    for (const [command, status] of [...COMMANDS, ...ALONE]) {
      // A raw disk may come through a pipe.
      if (name === 'pipe' && command.startsWith('convert -O raw')) continue;
      await expectRefused(command, target, status, reason);
    }
  });

  test('as the backing file or the data file is refused, and never opened when it is a device or a pipe', async () => {
    const overlay = path('overlay');
    writeFileSync(overlay, forgedQcow2({ backing: target, backingFormat: 'raw', size: 65_536 }));
    const keeper = path('keeper');
    writeFileSync(keeper, forgedQcow2({ dataFile: target, size: 65_536 }));
    for (const image of [overlay, keeper]) {
      for (const [command, status] of COMMANDS) {
        if (command.includes('-O raw') || (image === keeper && command.startsWith('info'))) continue;
        await expectRefused(command, image, status, reason);
      }
    }
    await cli(wordsOf('info -f qcow2 --backing-chain FILE', overlay), { under: underStrace(log) });
    expect(readFileSync(log, 'utf8')).toContain(overlay);
    const opened = (await readTrace(log)).filter(({ name: call }) => call === 'openat');
    expect(opened.map(({ args }) => unquote(args[1] ?? ''))).not.toContain(target);
  });
});

test('the new file is private until it has the permissions of the image that it replaces', async () => {
  const [source, target, log] = [path('source.raw'), path('shared.qcow2'), path('replacing-trace')];
  writeFileSync(source, 'some guest data');
  writeFileSync(target, 'the old image');
  chmodSync(target, 0o664);
  const { status } = await cli(['convert', '-c', '-O', 'qcow2', source, target], { under: underStrace(log) });
  expect(status).toBe(0);
  const made = (await readTrace(log)).filter(
    ({ name, args }) =>
      name === 'openat' && args[2]?.includes('O_CREAT') && args[1]?.includes('.shared.qcow2'),
  );
  expect(made.map(({ args }) => args[3])).toEqual(['0600']);
  expect(statSync(target).mode & 0o7777).toBe(0o664);
});
