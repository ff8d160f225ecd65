import { describe, expect, test } from 'vitest';
import { UnreadableWarnings } from '../../../src/cli/convert/unreadable-warnings.js';
import { ioError } from '../../../src/errors.js';
import { RecordedOutput } from '../recorded-output.js';

const ERROR = ioError("Could not read 'in' at offset 512", new Error('Input/output error'));

describe('UnreadableWarnings', () => {
  test("prints one line per range in qemu-img's words, and the total", () => {
    const stderr = new RecordedOutput();
    const warnings = new UnreadableWarnings(stderr);
    warnings.add({ guestOffset: 512, length: 1024, error: ERROR });
    warnings.add({ guestOffset: 65536, length: 512, error: ERROR });
    warnings.finish('out');
    expect(stderr.text.split('\n')).toEqual([
      "qcow2c: warning: error while reading offset 512: Could not read 'in' at offset 512: Input/output error " +
        '(1024 bytes replaced with zeros)',
      "qcow2c: warning: error while reading offset 65536: Could not read 'in' at offset 512: Input/output error " +
        '(512 bytes replaced with zeros)',
      "qcow2c: warning: 1536 bytes in 2 places of 'out' could not be read and were replaced with zeros",
      '',
    ]);
  });

  test('prints the first hundred ranges, and counts all', () => {
    const stderr = new RecordedOutput();
    const warnings = new UnreadableWarnings(stderr);
    for (let range = 0; range < 100_000; range += 1) {
      warnings.add({ guestOffset: 1024 * range, length: 512, error: ERROR });
      if (range > 100) warnings.add({ guestOffset: 0, length: 512, error: ERROR, isKept: true });
    }
    warnings.finish('out');
    const lines = stderr.text.trimEnd().split('\n');
    expect(lines.length).toBe(103);
    expect(lines.slice(99)).toEqual([
      expect.stringContaining('error while reading offset 101376: '),
      'qcow2c: warning: further warnings are only counted; the total follows',
      'qcow2c: warning: 99899 malformed clusters were recovered completely',
      "qcow2c: warning: 51200000 bytes in 100000 places of 'out' could not be read and were replaced with zeros",
    ]);
  });

  test('prints nothing if all data was readable', () => {
    const stderr = new RecordedOutput();
    new UnreadableWarnings(stderr).finish('out');
    expect(stderr.text).toBe('');
  });

  test('clears a line of progress on a terminal first', () => {
    const stderr = new RecordedOutput(80);
    const warnings = new UnreadableWarnings(stderr);
    warnings.add({ guestOffset: 0, length: 512, error: ERROR });
    expect(stderr.text.startsWith('\r\x1b[Kqcow2c: warning: error while reading offset 0: ')).toBe(true);
    warnings.finish('out');
    expect(stderr.text).toContain("512 bytes in 1 place of 'out' could not be read");
  });
});
