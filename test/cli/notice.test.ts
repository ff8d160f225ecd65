import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { warn, writeNotice } from '../../src/cli/progress/notice.js';
import { RecordedOutput } from './recorded-output.js';

describe('a line during progress', () => {
  test('is only the line without a terminal', () => {
    const output = new RecordedOutput();
    warn(output, 'something was left out');
    void writeNotice(output, '    (5 bytes)\n');
    expect(output.text).toBe('qcow2c: warning: something was left out\n    (5 bytes)\n');
  });

  test('is waited for while the buffer is full, until it has room or the reader is gone', async () => {
    const output = new PassThrough({ highWaterMark: 10 });
    expect(writeNotice(output, 'one\n')).toBeUndefined();
    const waits = Array.from({ length: 20 }, () => writeNotice(output, 'a line that is too long\n'));
    expect(output.listenerCount('drain')).toBe(1);
    output.resume();
    await Promise.all(waits);
    expect(['drain', 'close', 'error'].map((event) => output.listenerCount(event))).toEqual([0, 0, 0]);
    output.pause();
    const last = writeNotice(output, 'and another line\n');
    output.destroy();
    await last;
    expect(writeNotice(output, 'to a closed output\n')).toBeUndefined();
  });

  test('on a terminal clears the bar, and leaves room for it below', () => {
    const output = new RecordedOutput(80);
    void writeNotice(output, 'a line\n');
    expect(output.text).toBe('\r\x1b[Ka line\n\x1b7');
  });
});
