import { describe, expect, test } from 'vitest';
import { sayAside, warn } from '../../src/cli/aside.js';
import { RecordedOutput } from './recorded-output.js';

describe('a line beside the progress', () => {
  test('is the line alone where there is no terminal', () => {
    const output = new RecordedOutput();
    warn(output, 'something was left out');
    sayAside(output, '    (5 bytes)\n');
    expect(output.text).toBe('qcow2c: warning: something was left out\n    (5 bytes)\n');
  });

  test('on a terminal takes the bar away, and leaves the bar a place below', () => {
    const output = new RecordedOutput(80);
    sayAside(output, 'a line\n');
    expect(output.text).toBe('\r\x1b[Ka line\n\x1b7');
  });
});
