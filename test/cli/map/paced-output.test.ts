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
  // As in main.ts: the event has no other listener.
  output.on('error', () => {});
  return output;
}

describe('paced output', () => {
  test('combines small texts into few writes and loses none', async () => {
    const writes: string[] = [];
    const stdout = new RecordedOutput();
    const write = stdout._write.bind(stdout);
    stdout._write = (text, encoding, done) => {
      writes.push(text);
      write(text, encoding, done);
    };
    const output = new PacedOutput(stdout);
    const lines = Array.from({ length: 5000 }, (_, index) => `line ${index} ${'x'.repeat(40)}\n`);
    for (const line of lines) if (output.add(line)) await output.flush();
    await output.flush();
    expect(stdout.text).toBe(lines.join(''));
    expect(writes.length).toBe(Math.ceil(stdout.text.length / 65536));
  });

  test('produces text only as fast as the reader takes it', async () => {
    let waiting: (() => void) | undefined;
    const stdout = new Writable({
      write: (_chunk, _encoding, done) => {
        waiting = done;
      },
    });
    const output = new PacedOutput(stdout);
    let isTaken = false;
    expect(output.add('x'.repeat(70_000))).toBe(true);
    const written = output.flush().then(() => {
      isTaken = true;
    });
    for (let turn = 0; turn < 20; turn += 1) await new Promise(setImmediate);
    expect(isTaken).toBe(false);
    waiting?.();
    await written;
    expect(output.isOpen).toBe(true);
  });

  test('reports a closed reader, and stops writing', async () => {
    const output = new PacedOutput(failing('EPIPE'));
    output.add('some');
    await output.flush();
    expect(output.isOpen).toBe(false);
    output.add('more');
    await output.flush();
  });

  test('fails for any other reason, in one sentence', async () => {
    const output = new PacedOutput(failing('ENOSPC'));
    output.add('a');
    await expect(output.flush()).rejects.toMatchObject({
      code: 'ERR_IO',
      systemCode: 'ENOSPC',
      message: 'Could not write standard output: No space left on device',
    });
    await output.flush();
  });
});
