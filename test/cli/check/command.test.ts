import { EventEmitter, once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type CheckIo, checkCommand } from '../../../src/cli/check/command.js';
import type { CheckRequest } from '../../../src/cli/check/request.js';
import { Qcow2cError } from '../../../src/errors.js';
import { RecordedOutput } from '../recorded-output.js';
import { SOUND } from './check-result.js';

const REQUEST: CheckRequest = {
  kind: 'check',
  options: { image: { file: 'disk.qcow2' } },
  name: 'disk.qcow2',
  output: 'human',
  progress: 'none',
  quiet: false,
};

function io(check: CheckIo['check']) {
  return {
    stdout: new RecordedOutput(),
    stderr: new RecordedOutput(),
    process: new EventEmitter(),
    now: () => 0,
    check,
  };
}

describe('the exit code', () => {
  test.each([
    [0, {}],
    [2, { corruptions: 1 }],
    [2, { corruptions: 1, leaks: 1 }],
    [3, { leaks: 1 }],
    [1, { checkErrors: 1, corruptions: 1, leaks: 1 }],
  ] as const)('is %d for %j', async (code, found) => {
    const around = io(async () => ({ ...SOUND, ...found }));
    expect(await checkCommand(REQUEST, around)).toBe(code);
    expect(around.stderr.text).toBe(code === 1 ? 'qcow2c: Check failed\n' : '');
  });

  test('is 63 for a format without checks, which is said even with -q', async () => {
    const around = io(async () => undefined);
    expect(await checkCommand({ ...REQUEST, quiet: true }, around)).toBe(63);
    expect(around.stderr.text).toBe('qcow2c: This image format does not support checks\n');
    expect(around.stdout.text).toBe('');
  });

  test('is the signal’s if the check was stopped', async () => {
    const around = io(async ({ signal }) => {
      if (signal?.aborted === false) await once(signal, 'abort');
      throw new Qcow2cError('ERR_ABORTED', 'ended');
    });
    const ended = checkCommand(REQUEST, around);
    while (around.process.listenerCount('SIGINT') === 0) await Promise.resolve();
    around.process.emit('SIGINT', 'SIGINT');
    expect(await ended).toBe(130);
    expect(around.stderr.text).toBe("qcow2c: Check of 'disk.qcow2' stopped by SIGINT\n");
  });
});

describe('the output', () => {
  const check: CheckIo['check'] = async ({ onFinding, onWarning }) => {
    onWarning?.('strange');
    await onFinding?.({ kind: 'refcount', cluster: 1, found: 2n, expected: 1 }, 'Leaked cluster 1');
    return { ...SOUND, leaks: 1 };
  };

  test('has findings on standard error and the verdict on standard output', async () => {
    const around = io(check);
    await checkCommand(REQUEST, around);
    expect(around.stderr.text).toBe('qcow2c: warning: strange\nLeaked cluster 1\n');
    expect(around.stdout.text).toMatch(/^\n1 leaked clusters/);
  });

  test('has no verdict with -q', async () => {
    const around = io(check);
    await checkCommand({ ...REQUEST, quiet: true }, around);
    expect(around.stderr.text).toContain('Leaked cluster 1\n');
    expect(around.stdout.text).toBe('');
  });

  test('is JSON on request', async () => {
    const around = io(check);
    await checkCommand({ ...REQUEST, output: 'json' }, around);
    expect(JSON.parse(around.stdout.text)).toMatchObject({ leaks: 1, filename: 'disk.qcow2' });
  });
});
