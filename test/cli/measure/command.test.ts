/** The output of `measure`. */
import { EventEmitter } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type MeasureIo, measureCommand } from '../../../src/cli/measure/command.js';
import type { MeasureRequest } from '../../../src/cli/measure/request.js';
import { abortedError } from '../../../src/errors.js';
import type { Measurement } from '../../../src/measure/options.js';
import { RecordedOutput } from '../recorded-output.js';

const REQUEST: MeasureRequest = {
  kind: 'measure',
  options: { source: 'in' },
  name: 'in',
  output: 'human',
  progress: 'none',
};
const PLAIN: Measurement = {
  required: 393216,
  fullyAllocated: 2 ** 61,
  bitmaps: undefined,
  compressed: false,
  estimate: undefined,
};
const ESTIMATE = { margin: 4096, confidence: 95, sampledBytes: 1048576, dataBytes: 3145728 };

function io(measure: MeasureIo['measure'], columns?: number) {
  const [stdout, stderr] = [new RecordedOutput(columns), new RecordedOutput(columns)];
  return { stdout, stderr, process: new EventEmitter(), now: () => 0, measure };
}

async function printed(
  measurement: Measurement,
  output: MeasureRequest['output'] = 'human',
): Promise<string> {
  const around = io(async () => measurement);
  expect(await measureCommand({ ...REQUEST, output }, around)).toBe(0);
  expect(around.stderr.text).toBe('');
  return around.stdout.text;
}

describe('the figures', () => {
  test("are printed in qemu-img's lines with all digits", async () => {
    expect(await printed(PLAIN)).toBe('required size: 393216\nfully allocated size: 2305843009213693952\n');
    expect(await printed({ ...PLAIN, bitmaps: 0 })).toMatch(/\nbitmaps size: 0\n$/);
  });

  test("are printed in qemu-img's JSON, in its order", async () => {
    expect(await printed({ ...PLAIN, bitmaps: 65536 }, 'json')).toBe(
      '{\n    "bitmaps": 65536,\n    "required": 393216,\n    "fully-allocated": 2305843009213693952\n}\n',
    );
  });

  test('of a compressed image have the same lines', async () => {
    expect(await printed({ ...PLAIN, compressed: true })).toBe(await printed(PLAIN));
  });

  test('of an estimate are followed by its margin', async () => {
    const [line] = (await printed({ ...PLAIN, compressed: true, estimate: ESTIMATE })).split('\n');
    expect(line).toBe(
      'required size: 393216 (estimated from 33.3% of the data, +- 4096 bytes at 95% confidence)',
    );
  });

  test('of an estimate without data are exact', async () => {
    const nothing = { margin: 0, confidence: 95, sampledBytes: 0, dataBytes: 0 };
    expect(await printed({ ...PLAIN, estimate: nothing })).toContain('from 100% of the data, +- 0 bytes');
  });

  test('of an estimate are all in the JSON', async () => {
    const text = await printed(
      { ...PLAIN, required: 1, fullyAllocated: 2, compressed: true, estimate: ESTIMATE },
      'json',
    );
    expect(JSON.parse(text)).toEqual({
      required: 1,
      'fully-allocated': 2,
      compressed: true,
      margin: 4096,
      confidence: 95,
      'sampled-bytes': 1048576,
      'data-bytes': 3145728,
    });
  });
});

describe('progress', () => {
  const measure: MeasureIo['measure'] = async ({ onProgress }) => {
    onProgress?.({ guestBytesDone: 1, guestBytes: 4, dataBytes: 1, storedBytes: 1 });
    return PLAIN;
  };

  test.each([
    ['auto', undefined, ''],
    ['auto', 80, '100.0%'],
    ['bar', 80, '100.0%'],
    ['json', undefined, '"percent":25'],
    ['none', 80, ''],
  ] as const)(
    '%s with a terminal of %s columns leaves standard output to the result',
    async (progress, columns, text) => {
      const around = io(measure, columns);
      expect(await measureCommand({ ...REQUEST, progress }, around)).toBe(0);
      expect(around.stdout.text).toBe(await printed(PLAIN));
      expect(around.stderr.text).toContain(text);
      expect(around.stderr.text === '').toBe(text === '');
    },
  );
});

test('a warning is printed on standard error', async () => {
  const around = io(async ({ onWarning }) => {
    onWarning?.('something is strange');
    return PLAIN;
  });
  expect(await measureCommand(REQUEST, around)).toBe(0);
  expect(around.stderr.text).toBe('qcow2c: warning: something is strange\n');
});

test('a signal stops it, and no result is printed', async () => {
  const around = io(
    ({ signal }) =>
      new Promise((_, reject) =>
        signal!.addEventListener('abort', () => reject(abortedError(signal!.reason))),
      ),
  );
  const ended = measureCommand(REQUEST, around);
  // The command listens once it has its display.
  await new Promise((resolve) => setImmediate(resolve));
  around.process.emit('SIGINT', 'SIGINT');
  expect(await ended).toBe(130);
  expect([around.stdout.text, around.stderr.text]).toEqual([
    '',
    "qcow2c: Measurement of 'in' stopped by SIGINT\n",
  ]);
});
