/**
 * No program reads an image that another writes, and one run at a time makes a target: with real QEMU programs and
 * runs.
 */
import { writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { whileQemuIoHolds, whileQemuNbdHolds } from '../oracle/holding.js';
import { create } from '../oracle/qemu-img.js';
import { type Running, run } from '../oracle/run.js';
import { cli, cliOk, startCli } from './cli.js';
import { snapshot } from './failures.js';
import { expectGoodImage } from './judge.js';
import { useScratch } from './scratch.js';
import { slowReads, untilProgress } from './slow-run.js';
import { randomBytes } from './source-images.js';

const path = useScratch();
const [raw, qcow2, overlay, slow] = ['a.raw', 'a.qcow2', 'over.qcow2', 'slow.raw'].map((name) =>
  path(name),
) as [string, string, string, string];
beforeAll(async () => {
  writeFileSync(raw, randomBytes(100_000));
  writeFileSync(slow, randomBytes(24 * 1024 * 1024));
  await create(qcow2, 1_048_576);
  await create(overlay, 1_048_576, ['-b', qcow2, '-F', 'qcow2']);
});

/** The lines of a run that must fail, which leaves the directory unchanged. */
async function refusal(args: readonly string[]): Promise<string> {
  const before = snapshot(path(''));
  const { status, stderr } = await cli(args);
  expect(status).toBe(1);
  expect(snapshot(path(''))).toEqual(before);
  return stderr;
}

describe('an image that a virtual machine writes to', () => {
  test.each([
    ['qcow2', () => qcow2, whileQemuIoHolds],
    ['raw', () => raw, whileQemuNbdHolds],
  ] as const)('(%s) is converted with -U only', async (format, file, whileHeld) => {
    await whileHeld(file(), format, [], async () => {
      const args = ['-c', '-f', format, file(), path('out.qcow2')];
      expect(await refusal(['convert', ...args])).toMatch(
        /^qcow2c: .*Failed to get shared "write" lock.*\n$/,
      );
      const theirs = await run('qemu-img', ['convert', '-O', 'qcow2', ...args]);
      expect(theirs.stderr).toContain('Failed to get shared "write" lock');
      await cliOk(['convert', '-U', ...args]);
    });
    await cliOk(['convert', '-c', '-f', format, file(), path('out.qcow2')]);
  });

  test('is refused as a backing file of a source, and as a target', async () => {
    await whileQemuIoHolds(qcow2, 'qcow2', [], async () => {
      expect(await refusal(['convert', '-f', 'qcow2', overlay, path('out.raw')])).toContain(
        'Could not open backing file: Failed to get shared "write" lock',
      );
      expect(await refusal(['convert', '-c', raw, qcow2])).toContain('Failed to get shared "write" lock');
      expect(await refusal(['convert', '-c', '-n', raw, qcow2])).toContain('Failed to get "write" lock');
    });
  });
});

test('an image that a virtual machine only reads is converted, and may be replaced', async () => {
  const copy = path('copy.qcow2');
  await create(copy, 1_048_576);
  await whileQemuIoHolds(copy, 'qcow2', ['-r'], async () => {
    await cliOk(['convert', '-c', '-f', 'qcow2', copy, path('out.qcow2')]);
    await cliOk(['convert', '-c', '-f', 'raw', raw, copy]);
  });
  await expectGoodImage(copy, raw);
});

describe('while a conversion replaces an image,', () => {
  const target = path('replaced.qcow2');
  let running: Running;
  beforeAll(async () => {
    await create(target, 1_048_576);
    running = startCli(['convert', '-c', '--progress=json,0.1', '-f', 'raw', slow, target], {
      under: slowReads(slow),
    });
    await untilProgress(running);
    running.child.kill('SIGSTOP');
    return () => void running.child.kill('SIGKILL');
  });
  const noLock = { status: 1, stderr: expect.stringContaining('Failed to get "write" lock') };

  test('no virtual machine can write to the source', async () => {
    expect(await run('qemu-io', ['-f', 'raw', '-c', 'write 0 512', slow])).toMatchObject(noLock);
  });

  test('the old image may be read, and no virtual machine gets to write to it', async () => {
    expect(await run('qemu-io', ['-f', 'qcow2', '-c', 'write 0 512', target])).toMatchObject(noLock);
    const theirs = await run('qemu-io', ['-r', '-f', 'qcow2', '-c', 'read -P 0 0 512', target]);
    expect(theirs).toMatchObject({ status: 0 });
  });

  test('a second run to the same target is refused, and names the first', async () => {
    const { status, stderr } = await cli(['convert', '-c', '-f', 'raw', raw, target]);
    expect({ status, stderr }).toEqual({
      status: 1,
      stderr: `qcow2c: '${target}' is being written by process ${running.child.pid} (wait until it has ended)\n`,
    });
  });

  test('and all of that neither disturbs it nor outlasts it', async () => {
    running.child.kill('SIGCONT');
    expect((await running.finished).status).toBe(0);
    await expectGoodImage(target, slow);
    expect((await run('qemu-io', ['-f', 'qcow2', '-c', 'write 0 512', target])).status).toBe(0);
    await cliOk(['convert', '-c', '-f', 'raw', raw, target]);
    await expectGoodImage(target, raw);
  });
});
