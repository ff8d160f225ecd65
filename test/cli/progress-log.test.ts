import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { openDisplay } from '../../src/cli/progress/open-display.js';
import { LogDisplay } from '../../src/cli/progress/progress-log.js';
import { RecordedOutput } from './recorded-output.js';

const HALF = {
  guestBytesDone: 3e9,
  guestBytes: 4e9,
  dataBytes: 1e9,
  storedBytes: 5e8,
  share: 0.5,
  ratio: 0.5,
};

describe('LogDisplay', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test.each([
    [undefined, 10],
    [2, 2],
  ])('prints a plain line every %s seconds, and one at the end', (asked, seconds) => {
    const output = new RecordedOutput();
    const display = new LogDisplay(output, () => Date.now(), asked);
    display.start();
    vi.advanceTimersByTime((seconds - 1) * 1000);
    display.update(HALF);
    expect(output.text).toBe('');
    vi.advanceTimersByTime(1000);
    const speed = (1000 / (seconds - 1)).toFixed(0);
    const left = `0:${String(seconds - 2).padStart(2, '0')}`;
    expect(output.text).toBe(`qcow2c: 50.0%, ${speed} MB/s, ratio 0.500, ETA ${left}\n`);
    display.end(true);
    const lines = output.text.split('\n');
    expect(lines[1]).toBe(
      `qcow2c: 100.0%, ${speed} MB/s, ratio 0.500, in 0:${String(seconds).padStart(2, '0')}`,
    );
    expect(lines).toHaveLength(3);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('goes on while the work hangs, and prints no end of a failure', () => {
    const output = new RecordedOutput();
    const display = new LogDisplay(output, () => Date.now(), 1);
    display.start();
    display.update(HALF);
    vi.advanceTimersByTime(3000);
    display.end(false);
    expect(output.text.split('\n')).toHaveLength(4);
    expect(output.text).not.toContain('100.0%');
  });

  test('does not fill memory for a reader that reads nothing', () => {
    const output = new PassThrough({ highWaterMark: 1000 });
    const display = new LogDisplay(output, () => Date.now(), 1);
    display.start();
    display.update(HALF);
    vi.advanceTimersByTime(1_000_000);
    display.end(true);
    expect(output.readableLength + output.writableLength).toBeLessThan(3000);
  });
});

describe('a terminal', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  /** The display's output on a terminal of 80 columns. */
  async function shown(env: Record<string, string>): Promise<string> {
    for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
    const [stdout, stderr] = [new RecordedOutput(80), new RecordedOutput(80)];
    const io = { stdout, stderr, process: new PassThrough(), now: () => Date.now() };
    const display = await openDisplay('auto', io);
    display.start();
    display.update(HALF);
    display.end(true);
    expect(stdout.text).toBe('');
    return stderr.text;
  }

  test('that understands no escape sequences (TERM=dumb) gets plain lines', async () => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not be there
    expect(await shown({ TERM: 'dumb' })).not.toMatch(/[\x00-\x09\x0b-\x1f]/);
    expect(await shown({ TERM: 'dumb' })).toMatch(/^qcow2c: 100\.0%, .* in 0:00\n$/);
  });

  test('gets no colours, with and without NO_COLOR', async () => {
    for (const env of [{}, { NO_COLOR: '1' }]) {
      const text = await shown({ TERM: 'xterm-256color', ...env });
      expect(text).toContain('[=');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequence that sets a colour
      expect(text).not.toMatch(/\x1b\[[0-9;]*m/);
    }
  });
});
