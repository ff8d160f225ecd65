/** Every way to show progress, byte for byte where other programs parse it. */
import { statSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { run } from '../oracle/run.js';
import { cli, ROOT } from './cli.js';
import { useScratch } from './scratch.js';
import { makeMixedDisk } from './source-images.js';

const path = useScratch();
const raw = path('mixed.raw');
beforeAll(() => makeMixedDisk(raw));

const convert = (flags: string[]) => cli(['convert', '-c', ...flags, raw, path('image.qcow2')]);

/** What `qemu-img -p` prints, as a pattern. */
const QEMU = /^( {4}\(\d+\.\d\d\/100%\)\r)+\n$/;

function expectQemuProgress(text: string): void {
  expect(text).toMatch(QEMU);
  const shares = [...text.matchAll(/\((\d+\.\d\d)\/100%\)/g)].map((match) => Number(match[1]));
  expect(shares[0]).toBe(0);
  expect(shares.at(-1)).toBe(100);
  expect(shares).toEqual([...shares].sort((a, b) => a - b));
  // Work items are 2 MiB, and the disk of 16 MiB is mostly holes.
  expect(shares.length).toBeGreaterThan(5);
}

describe('off a terminal', () => {
  test('-p and --progress=qemu print what qemu-img prints, on standard output', async () => {
    const theirs = await run('qemu-img', ['convert', '-p', '-c', '-O', 'qcow2', raw, path('theirs.qcow2')]);
    expectQemuProgress(theirs.stdout);
    for (const flags of [['-p'], ['--progress=qemu'], ['--progress']]) {
      const { status, stdout, stderr } = await convert(flags);
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expectQemuProgress(stdout);
    }
  });

  test('--progress=json prints one object a line on standard error, rising to the whole', async () => {
    const { status, stdout, stderr } = await convert(['--progress=json']);
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    const lines = stderr
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const done = lines.map((line) => line.guestBytesDone);
    expect(done).toEqual([...done].sort((a, b) => a - b));
    expect(lines.slice(0, -1).every(({ state }) => state === 'running')).toBe(true);
    const { guestBytes, ...last } = lines.at(-1);
    expect(last).toMatchObject({ state: 'done', percent: 100, guestBytesDone: guestBytes });
    expect(guestBytes).toBe(statSync(raw).size);
    expect(last.storedBytes).toBeLessThan(last.dataBytes);
  });

  test('without -p, with --progress=none and with -q nothing is printed at all', async () => {
    for (const flags of [[], ['--progress=none'], ['-p', '-q', '-v'], ['-q', '--progress=json']]) {
      expect(await convert(flags)).toEqual({ status: 0, signal: null, stdout: '', stderr: '' });
    }
  });
});

test('on a terminal -p draws a bar with percent, speed, ratio and time left', async () => {
  const command = `'${process.execPath}' '${ROOT}bin/qcow2c.js' convert -c -p '${raw}' '${path('bar.qcow2')}'`;
  const { status, stdout } = await run('script', ['-qec', command, '/dev/null'], { env: { TERM: 'xterm' } });
  expect(status).toBe(0);
  expect(stdout).toMatch(/100(\.0+)?\s*%/);
  expect(stdout).toMatch(/MB\/s|MiB\/s/);
  expect(stdout).not.toMatch(/\/100%\)/);
  // The terminal is left on a new line, with its cursor shown again.
  const visible = stdout.replaceAll('\u001b[?25h', '').replaceAll('\u001b[?7h', '');
  expect(visible.endsWith('\n')).toBe(true);
});

test('-v prints to standard error the engine, the number of threads, and how the target was written', async () => {
  const { status, stdout, stderr } = await convert(['-v', '-m', '2']);
  expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
  expect(stderr).toMatch(/by content, isal level 2 and libdeflate levels 1, 4, 5, 6, 7; worker threads: 2\n/);
  expect(stderr).toMatch(/cache mode: none\n/);
});
