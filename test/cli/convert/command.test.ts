import { EventEmitter, once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { type ConvertIo, convertCommand } from '../../../src/cli/convert/command.js';
import type { ConvertRequest } from '../../../src/cli/convert/request.js';
import { Qcow2cError, usageError } from '../../../src/errors.js';
import { RecordedOutput } from '../recorded-output.js';
import { RESULT } from './conversion-result.js';

const REQUEST: ConvertRequest = {
  kind: 'convert',
  output: 'human',
  options: { sources: ['in'], target: 'out' },
  progress: 'none',
  quiet: false,
  verbose: false,
};

/** ConvertIo whose conversion is `convert`, with what was printed. */
function io(convert: ConvertIo['convert'], columns?: number) {
  const process = new EventEmitter();
  return {
    stdout: new RecordedOutput(),
    stderr: new RecordedOutput(columns),
    process,
    now: () => 0,
    convert,
  };
}

/** A conversion that ends only when it is aborted, and after `cleanUp`. */
function untilAborted(begin: () => void, cleanUp: () => void): ConvertIo['convert'] {
  return async ({ signal }) => {
    begin();
    if (signal?.aborted === false) await once(signal, 'abort');
    cleanUp();
    throw new Qcow2cError('ERR_ABORTED', 'The conversion was ended');
  };
}

function deferred() {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}

function listeners(process: EventEmitter): number {
  return process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0);
}

describe('a conversion to standard output', () => {
  const options = { sources: ['in'], target: { stream: 1, name: 'standard output' } };
  const request: ConvertRequest = { ...REQUEST, options, progress: 'qemu', verbose: true };

  test.each([[options.target], ['/dev/stdout'], ['/dev/fd/1']])(
    'prints nothing there: %j',
    async (target) => {
      const around = io(async ({ onProgress }) => {
        onProgress?.({ guestBytesDone: 1, guestBytes: 1, dataBytes: 1, storedBytes: 1 });
        return RESULT;
      });
      expect(await convertCommand({ ...request, options: { ...options, target } }, around)).toBe(0);
      expect(around.stdout.text).toBe('');
      expect(around.stderr.text).toContain('(100.00/100%)');
    },
  );

  test('whose reader is gone ends without a word, as a program that SIGPIPE ends', async () => {
    const file = 'standard output';
    const around = io(async () => {
      throw new Qcow2cError('ERR_IO', 'Broken pipe', { file, systemCode: 'EPIPE' });
    });
    expect(await convertCommand({ ...request, progress: 'none' }, around)).toBe(141);
    expect([around.stdout.text, around.stderr.text]).toEqual(['', '']);
  });
});

describe('a conversion that succeeds', () => {
  test('gets the options, prints nothing and exits with 0', async () => {
    const around = io(async (options) => {
      expect(options).toMatchObject(REQUEST.options);
      options.onProgress?.({ guestBytesDone: 1, guestBytes: 1, dataBytes: 1, storedBytes: 1 });
      return RESULT;
    });
    expect(await convertCommand(REQUEST, around)).toBe(0);
    expect([around.stdout.text, around.stderr.text]).toEqual(['', '']);
    expect(listeners(around.process)).toBe(0);
  });

  test('prints a summary with -v', async () => {
    const around = io(async () => RESULT);
    await convertCommand({ ...REQUEST, verbose: true }, around);
    expect(around.stderr.text).toContain('Clusters: 4 compressed');
    expect(around.stdout.text).toBe('');
  });
});

describe('an unreadable range', () => {
  const convert: ConvertIo['convert'] = async ({ onUnreadable }) => {
    onUnreadable?.({ guestOffset: 512, length: 512, error: usageError('gone') });
    return { ...RESULT, unreadableBytes: 512 };
  };

  test('is reported on standard error, and the conversion succeeds', async () => {
    const around = io(convert);
    expect(await convertCommand(REQUEST, around)).toBe(0);
    expect(around.stderr.text).toBe(
      'qcow2c: warning: error while reading offset 512: gone (512 bytes replaced with zeros)\n' +
        "qcow2c: warning: 512 bytes in 1 place of 'out' could not be read and were replaced with zeros\n",
    );
    expect(around.stdout.text).toBe('');
  });

  test('is not reported with -q', async () => {
    const around = io(convert);
    expect(await convertCommand({ ...REQUEST, quiet: true }, around)).toBe(0);
    expect(around.stderr.text).toBe('');
  });

  test('is summed up only if the conversion succeeds', async () => {
    const around = io(async (options) => {
      await convert(options);
      throw usageError('no');
    });
    await expect(convertCommand(REQUEST, around)).rejects.toThrow('no');
    expect(around.stderr.text).not.toContain('in 1 place');
  });
});

test.each([false, true])('a warning is printed on standard error, also with -q (%s)', async (quiet) => {
  const around = io(async ({ onWarning }) => {
    onWarning?.("Skipping inconsistent bitmap 'a'");
    return RESULT;
  });
  expect(await convertCommand({ ...REQUEST, quiet }, around)).toBe(0);
  expect(around.stderr.text).toBe("qcow2c: warning: Skipping inconsistent bitmap 'a'\n");
});

describe('progress', () => {
  const convert: ConvertIo['convert'] = async ({ onProgress }) => {
    onProgress?.({ guestBytesDone: 1, guestBytes: 4, dataBytes: 1, storedBytes: 1 });
    return RESULT;
  };
  const LINES = '    (0.00/100%)\r    (25.00/100%)\r    (100.00/100%)\r\n';

  test.each([
    ['auto', undefined, LINES, ''],
    ['qemu', undefined, LINES, ''],
    ['qemu', 80, LINES, ''],
    ['auto', 80, '', '100.0%'],
    ['bar', 80, '', '100.0%'],
    ['bar', undefined, '', ''],
    ['json', undefined, '', '"percent":25'],
    ['json', 80, '', '"percent":25'],
    ['none', 80, '', ''],
  ] as const)('%s with a terminal of %s columns', async (progress, columns, stdout, stderr) => {
    const around = io(convert, columns);
    expect(await convertCommand({ ...REQUEST, progress }, around)).toBe(0);
    expect(around.stdout.text).toBe(stdout);
    expect(around.stderr.text).toContain(stderr);
    expect(around.stderr.text === '').toBe(stderr === '');
  });

  test('is closed before a failure is thrown', async () => {
    const around = io(async () => Promise.reject(usageError('no')), 80);
    await expect(convertCommand({ ...REQUEST, progress: 'bar' }, around)).rejects.toThrow('no');
    expect(around.stderr.text).toMatch(/\[\?25h.*\n$/);
  });
});

describe('interruptions', () => {
  test.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ])('%s aborts the conversion, is named in one line and exits with %d', async (name, code) => {
    let cleanUps = 0;
    const { promise: begun, resolve: begin } = deferred();
    const around = io(
      untilAborted(begin, () => {
        cleanUps += 1;
      }),
    );
    const ended = convertCommand(REQUEST, around);
    await begun;
    around.process.emit(name, name);
    around.process.emit('SIGTERM', 'SIGTERM');
    expect(await ended).toBe(code);
    expect(cleanUps).toBe(1);
    expect(around.stderr.text).toBe(`qcow2c: Conversion to 'out' stopped by ${name}\n`);
    expect(listeners(around.process)).toBe(0);
  });

  test('a signal before the conversion ends the command before any file is opened', async () => {
    let calls = 0;
    const around = io(async () => {
      calls += 1;
      return RESULT;
    });
    const ended = convertCommand(REQUEST, around);
    around.process.emit('SIGINT', 'SIGINT');
    expect(await ended).toBe(130);
    expect(calls).toBe(0);
  });

  test('a signal after the conversion has no effect', async () => {
    const around = io(async () => {
      around.process.emit('SIGINT', 'SIGINT');
      return RESULT;
    });
    expect(await convertCommand(REQUEST, around)).toBe(0);
  });

  test('another failure after a signal is thrown', async () => {
    const around = io(async () => {
      around.process.emit('SIGINT', 'SIGINT');
      throw new Qcow2cError('ERR_IO', 'Could not write');
    });
    await expect(convertCommand(REQUEST, around)).rejects.toThrow('Could not write');
    expect(listeners(around.process)).toBe(0);
  });

  test('an uncaught exception aborts the conversion, which cleans up, and is then thrown', async () => {
    let cleanedUp = false;
    const { promise: begun, resolve: begin } = deferred();
    const around = io(
      untilAborted(begin, () => {
        cleanedUp = true;
      }),
    );
    const ended = convertCommand(REQUEST, around);
    await begun;
    around.process.emit('uncaughtException', new TypeError('lost'));
    around.process.emit('SIGINT', 'SIGINT');
    await expect(ended).rejects.toThrow('lost');
    expect(cleanedUp).toBe(true);
    expect(around.stderr.text).toBe('');
  });
});
