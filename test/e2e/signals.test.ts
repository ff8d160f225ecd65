/** SIGINT, SIGTERM and SIGHUP end a run cleanly: the shell's exit code, one line, no leftovers. */
import { writeFile } from 'node:fs/promises';
import { beforeAll, expect, test } from 'vitest';
import { startCli } from './cli.js';
import { snapshot } from './failures.js';
import { useScratch } from './scratch.js';
import { slowReads, untilProgress } from './slow-run.js';
import { randomBytes } from './source-images.js';

const path = useScratch();
const source = path('source.raw');
beforeAll(async () => {
  await writeFile(source, randomBytes(24 * 1024 * 1024));
  await writeFile(path('old.qcow2'), 'what was there before');
});

test.each([
  ['SIGINT', 'new.qcow2', 130],
  ['SIGTERM', 'old.qcow2', 143],
  ['SIGHUP', 'new.qcow2', 129],
] as const)(`%s ends the conversion to %s with exit code %i`, async (signal, name, code) => {
  const before = snapshot(path(''));
  const running = startCli(
    ['convert', '-c', '-O', 'qcow2', '--progress=json,0.1', '-f', 'raw', source, path(name)],
    {
      under: slowReads(source),
    },
  );
  await untilProgress(running);
  expect(snapshot(path('')).length).toBe(before.length + 1);
  running.child.kill(signal);
  const { status, stderr } = await running.finished;
  const lines = stderr
    .trimEnd()
    .split('\n')
    .filter((text) => !text.startsWith('{'));
  expect({ status, lines }).toEqual({
    status: code,
    lines: [expect.stringMatching(new RegExp(`^qcow2c: .*'${path(name)}'.*${signal}`))],
  });
  expect(snapshot(path(''))).toEqual(before);
});

test('a second signal does not cut the clean-up short', async () => {
  const before = snapshot(path(''));
  const running = startCli(
    ['convert', '-c', '-O', 'qcow2', '--progress=json,0.1', '-f', 'raw', source, path('new.qcow2')],
    {
      under: slowReads(source),
    },
  );
  await untilProgress(running);
  running.child.kill('SIGINT');
  running.child.kill('SIGTERM');
  running.child.kill('SIGINT');
  const { status } = await running.finished;
  expect([130, 143]).toContain(status);
  expect(snapshot(path(''))).toEqual(before);
});
