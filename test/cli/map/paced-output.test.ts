import { Writable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { PacedOutput } from '../../../src/cli/map/paced-output.js';
import { RecordedOutput } from '../recorded-output.js';

/** An output whose first write fails. */
function failing(code: string): Writable {
  const output = new Writable({
    write: (_chunk, _encoding, done) =>
      done(Object.assign(new Error(code), { code, errno: code === 'ENOSPC' ? -28 : -32 })),
  });
  // As in main.ts: the event is nobody's.
  output.on('error', () => {});
  return output;
}

describe('paced output', () => {
  test('gathers small texts into few writes and loses none', async () => {
    const writes: string[] = [];
    const stdout = new RecordedOutput();
    const write = stdout._write.bind(stdout);
    stdout._write = (text, encoding, done) => {
      writes.push(text);
      write(text, encoding, done);
    };
    const output = new PacedOutput(stdout);
    const lines = Array.from({ length: 5000 }, (_, index) => `line ${index} ${'x'.repeat(40)}\n`);
    for (const line of lines) expect(await output.write(line)).toBe(true);
    await output.flush();
    expect(stdout.text).toBe(lines.join(''));
    expect(writes.length).toBe(Math.ceil(stdout.text.length / 65536));
  });

  test('makes no more text than the reader takes', async () => {
    let waiting: (() => void) | undefined;
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => {
        waiting = done;
      },
    });
    const output = new PacedOutput(stdout);
    let isTaken = false;
    const written = output.write('x'.repeat(70_000)).then((open) => {
      isTaken = true;
      return open;
    });
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(isTaken).toBe(false);
    waiting?.();
    expect(await written).toBe(true);
  });

  test('says so when nobody reads on, and writes no more', async () => {
    const output = new PacedOutput(failing('EPIPE'));
    expect(await output.write('x'.repeat(70_000))).toBe(false);
    expect(await output.write('more')).toBe(false);
    await output.flush();
  });

  test('fails for any other reason, in one sentence', async () => {
    const output = new PacedOutput(failing('ENOSPC'));
    await output.write('a');
    await expect(output.flush()).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ENOSPC',
      message: 'Could not write standard output: No space left on device',
    });
    await output.flush();
  });
});
