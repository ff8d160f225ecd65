import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { JsonDisplay } from '../../src/cli/progress/progress-json.js';
import { RecordedOutput } from './recorded-output.js';

function linesOf(output: RecordedOutput): unknown[] {
  expect(output.text).toMatch(/\n$/);
  return output.text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

describe('JsonDisplay', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });
  const now = () => Date.now();
  const figures = { guestBytes: 300, dataBytes: 2, storedBytes: 1 };

  test.each([
    [undefined, 1000],
    [2.5, 2500],
  ])('prints the first report, one in an interval of %s seconds, and the result', (seconds, interval) => {
    const output = new RecordedOutput();
    const display = new JsonDisplay(output, now, seconds);
    display.start();
    for (let done = 0; done < 300; done += 100) {
      vi.advanceTimersByTime(100);
      display.update({ ...figures, guestBytesDone: done });
      display.update({ ...figures, guestBytesDone: done + 50 });
      vi.advanceTimersByTime(interval - 100);
    }
    display.end(true, { digest: 'abc' });
    const times = [0.1, ...[1, 2, 3].map((count) => (count * interval) / 1000)];
    expect(linesOf(output)).toStrictEqual([
      { state: 'running', percent: 0, ...figures, guestBytesDone: 0, seconds: times[0] },
      { state: 'running', percent: 16.66, ...figures, guestBytesDone: 50, seconds: times[1] },
      { state: 'running', percent: 50, ...figures, guestBytesDone: 150, seconds: times[2] },
      { state: 'running', percent: 83.33, ...figures, guestBytesDone: 250, seconds: times[3] },
      {
        state: 'done',
        percent: 100,
        ...figures,
        guestBytesDone: 250,
        seconds: times[3],
        result: { digest: 'abc' },
      },
    ]);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('skips lines while the buffer is full, and always prints the last state', async () => {
    const output = new PassThrough({ highWaterMark: 1000 });
    const display = new JsonDisplay(output, now);
    display.start();
    for (let done = 0; done < 100; done += 1) {
      display.update({ guestBytesDone: done, guestBytes: 100, dataBytes: 0, storedBytes: 0 });
      vi.advanceTimersByTime(1000);
    }
    display.end(true);
    expect(output.readableLength + output.writableLength).toBeLessThan(4000);
    output.end();
    const lines = (await text(output)).trimEnd().split('\n');
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ state: 'done', guestBytesDone: 99 });
  });

  test('the percentage follows the share of the work, in every phase', () => {
    const output = new RecordedOutput();
    const display = new JsonDisplay(output, now);
    display.update({ ...figures, guestBytesDone: 299, share: 0.25, phase: 'convert' });
    display.end(false);
    expect(linesOf(output)).toMatchObject([
      { phase: 'convert', percent: 25, guestBytesDone: 299 },
      { phase: 'convert', percent: 25, state: 'failed' },
    ]);
  });

  test('a stream has no size, and no percentage before its end', () => {
    const output = new RecordedOutput();
    const display = new JsonDisplay(output, now);
    display.start();
    display.update({ guestBytesDone: 3, guestBytes: undefined, dataBytes: 2, storedBytes: 1 });
    display.end(true);
    const counts = { guestBytesDone: 3, guestBytes: null, dataBytes: 2, storedBytes: 1, seconds: 0 };
    expect(linesOf(output)).toStrictEqual([
      { state: 'running', percent: null, ...counts },
      { state: 'done', percent: 100, ...counts },
    ]);
  });

  test('a failure before the first report has neither percentage nor size', () => {
    const output = new RecordedOutput();
    const display = new JsonDisplay(output, now);
    display.start();
    display.end(false);
    expect(linesOf(output)).toMatchObject([{ state: 'failed', percent: null, guestBytes: null }]);
  });

  test('a failure keeps the last percentage; an empty disk ends at 100 percent', () => {
    const [failed, empty] = [new RecordedOutput(), new RecordedOutput()];
    const half = new JsonDisplay(failed, now);
    half.update({ guestBytesDone: 1, guestBytes: 2, dataBytes: 1, storedBytes: 1 });
    half.end(false);
    expect(linesOf(failed).at(-1)).toMatchObject({ state: 'failed', percent: 50 });
    new JsonDisplay(empty, now).end(true);
    expect(linesOf(empty)).toMatchObject([{ state: 'done', percent: 100 }]);
  });
});
