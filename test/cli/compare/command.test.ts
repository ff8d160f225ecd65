import { EventEmitter, once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type CompareIo, compareCommand } from '../../../src/cli/compare/command.js';
import type { CompareRequest } from '../../../src/cli/compare/request.js';
import type { CompareResult, Verdict } from '../../../src/compare/options.js';
import { Qcow2cError } from '../../../src/errors.js';
import { RecordedOutput } from '../recorded-output.js';

const request = (changes: Partial<CompareRequest> = {}): CompareRequest => ({
  kind: 'compare',
  options: { images: ['one', 'other'] },
  files: ['one', 'other'],
  progress: 'none',
  quiet: false,
  ...changes,
});

function io(compare: CompareIo['compare']) {
  const process = new EventEmitter();
  return { stdout: new RecordedOutput(), stderr: new RecordedOutput(), process, now: () => 0, compare };
}

/** What the command says of a result and returns. */
async function said(result: CompareResult, changes?: Partial<CompareRequest>) {
  const around = io(async () => result);
  const code = await compareCommand(request(changes), around);
  return { code, out: around.stdout.text, err: around.stderr.text };
}

const error = new Qcow2cError('ERR_CORRUPT', 'the reason\nof it');
const SAME = [1024, 1024] as const;
const LONGER = [1024, 4096] as const;

const VERDICTS: readonly [Verdict, CompareResult['sizes'], number, string, string][] = [
  [{ kind: 'identical' }, SAME, 0, 'Images are identical.\n', ''],
  [{ kind: 'identical' }, LONGER, 0, 'Warning: Image size mismatch!\nImages are identical.\n', ''],
  [{ kind: 'different-size' }, LONGER, 1, 'Strict mode: Image size mismatch!\n', ''],
  [
    { kind: 'different-allocation', offset: 512 },
    SAME,
    1,
    'Strict mode: Offset 512 block status mismatch!\n',
    '',
  ],
  [{ kind: 'different-content', offset: 512 }, LONGER, 1, 'Content mismatch at offset 512!\n', ''],
  [
    { kind: 'different-content', offset: 1024 },
    LONGER,
    1,
    'Warning: Image size mismatch!\nContent mismatch at offset 1024!\n',
    '',
  ],
  [
    { kind: 'unknown-allocation', side: 1, offset: 0, error },
    SAME,
    3,
    '',
    'qcow2c: Sector allocation test failed for other: the reason of it\n',
  ],
  [
    { kind: 'unknown-allocation', side: 1, offset: 2048, error },
    LONGER,
    3,
    'Warning: Image size mismatch!\n',
    'qcow2c: Sector allocation test failed for other: the reason of it\n',
  ],
  [
    { kind: 'unreadable', side: 0, offset: 512, error },
    LONGER,
    4,
    '',
    'qcow2c: Error while reading offset 512 of one: the reason of it\n',
  ],
];

describe('a verdict', () => {
  test.each(VERDICTS)('%j of disks of %j bytes has exit code %i and its words', async (...expected) => {
    const [verdict, sizes, code, out, err] = expected;
    expect(await said({ verdict, sizes })).toEqual({ code, out, err });
  });

  test.each(VERDICTS)(
    '%j of disks of %j bytes has exit code %i with -q, and errors are printed',
    async (...expected) => {
      const [verdict, sizes, code, , err] = expected;
      expect(await said({ verdict, sizes }, { quiet: true })).toEqual({ code, out: '', err });
    },
  );
});

describe('progress', () => {
  const going: CompareIo['compare'] = async ({ onProgress }) => {
    onProgress?.({ guestBytesDone: 512, guestBytes: 1024, dataBytes: 512, storedBytes: undefined });
    return { verdict: { kind: 'different-content', offset: 512 }, sizes: SAME };
  };

  test('ends on its own line, and not at 100 % after a difference', async () => {
    const around = io(going);
    await compareCommand(request({ progress: 'qemu' }), around);
    expect(around.stdout.text).toBe('    (0.00/100%)\r    (50.00/100%)\r\nContent mismatch at offset 512!\n');
  });

  test('is shown only on request', async () => {
    const around = io(going);
    await compareCommand(request(), around);
    expect([around.stdout.text, around.stderr.text]).toEqual(['Content mismatch at offset 512!\n', '']);
  });
});

describe('without a verdict', () => {
  test('an error is thrown, and nothing is printed', async () => {
    const around = io(() => Promise.reject(error));
    await expect(compareCommand(request(), around)).rejects.toBe(error);
    expect([around.stdout.text, around.stderr.text]).toEqual(['', '']);
  });

  test('a signal has its own exit code', async () => {
    const around = io(async ({ signal }) => {
      if (signal?.aborted === false) await once(signal, 'abort');
      throw new Qcow2cError('ERR_ABORTED', 'ended');
    });
    const ended = compareCommand(request(), around);
    setImmediate(() => around.process.emit('SIGTERM', 'SIGTERM'));
    expect(await ended).toBe(143);
    expect(around.stderr.text).toBe('qcow2c: Comparison stopped by SIGTERM\n');
    expect(around.process.eventNames()).toEqual([]);
  });
});
