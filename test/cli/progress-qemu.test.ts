import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { QemuDisplay } from '../../src/cli/progress/progress-qemu.js';
import { useScratch } from '../e2e/scratch.js';
import { run } from '../oracle/run.js';
import { RecordedOutput } from './recorded-output.js';

const scratch = useScratch();
const CLUSTER = 65536;

/** What the display prints for a disk of data that is done cluster by cluster, as qemu-img does it. */
function printed(clusters: number, success = true): string {
  const output = new RecordedOutput();
  const display = new QemuDisplay(output);
  display.start();
  for (let done = 1; done <= clusters; done += 1) {
    const guestBytesDone = done * CLUSTER;
    display.update({ guestBytesDone, guestBytes: clusters * CLUSTER, dataBytes: 0, storedBytes: 0 });
  }
  display.end(success);
  return output.text;
}

describe('QemuDisplay', () => {
  // 64 and 160: shares that lie between two hundredths. 256: steps below one percent.
  test.each([0, 1, 3, 16, 64, 160, 256])(
    'prints the same as qemu-img -p for %d clusters',
    async (clusters) => {
      writeFileSync(scratch('in'), randomBytes(clusters * CLUSTER));
      const args = ['convert', '-c', '-p', '-f', 'raw', '-O', 'qcow2', scratch('in'), scratch('out')];
      const { stdout } = await run('qemu-img', args);
      expect(printed(clusters)).toBe(stdout);
    },
  );

  test('of a stream prints only its start and its end', () => {
    const output = new RecordedOutput();
    const display = new QemuDisplay(output);
    display.start();
    display.update({ guestBytesDone: CLUSTER, guestBytes: undefined, dataBytes: 0, storedBytes: 0 });
    display.end(true);
    expect(output.text).toBe('    (0.00/100%)\r    (100.00/100%)\r\n');
  });

  test('prints the same as qemu-img -p on an immediate failure', async () => {
    const { stdout } = await run('qemu-img', [
      'convert',
      '-c',
      '-p',
      '-O',
      'qcow2',
      scratch('none'),
      scratch('out'),
    ]);
    expect(printed(0, false)).toBe(stdout);
  });
});
