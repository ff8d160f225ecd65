import { PassThrough } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
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
  test('prints one object per line, from the first report to the end', () => {
    const output = new RecordedOutput();
    let time = 5000;
    const display = new JsonDisplay(output, () => time);
    display.start();
    time = 6234.5;
    display.update({ guestBytesDone: 2, guestBytes: 3, dataBytes: 2, storedBytes: 1 });
    time = 7000;
    display.update({ guestBytesDone: 3, guestBytes: 3, dataBytes: 3, storedBytes: 2 });
    display.end(true);
    const everything = { guestBytesDone: 3, guestBytes: 3, dataBytes: 3, storedBytes: 2 };
    expect(linesOf(output)).toStrictEqual([
      {
        state: 'running',
        percent: 66.66,
        guestBytesDone: 2,
        guestBytes: 3,
        dataBytes: 2,
        storedBytes: 1,
        seconds: 1.235,
      },
      { state: 'running', percent: 100, ...everything, seconds: 2 },
      { state: 'done', percent: 100, ...everything, seconds: 2 },
    ]);
  });

  test('skips lines while the buffer is full, and always prints the last state', async () => {
    const output = new PassThrough({ highWaterMark: 1000 });
    const display = new JsonDisplay(output, () => 0);
    for (let done = 0; done < 100_000; done += 1) {
      display.update({ guestBytesDone: done, guestBytes: 100_000, dataBytes: 0, storedBytes: 0 });
    }
    display.end(true);
    expect(output.readableLength + output.writableLength).toBeLessThan(4000);
    output.end();
    const lines = (await text(output)).trimEnd().split('\n');
    expect(JSON.parse(lines.at(-1) ?? '')).toMatchObject({ state: 'done', guestBytesDone: 99_999 });
  });

  test('counts each of two phases as one half of the percentage', () => {
    const output = new RecordedOutput();
    const display = new JsonDisplay(output, () => 0);
    display.start();
    const figures = { guestBytes: 4, dataBytes: 4, storedBytes: 2 };
    display.update({ ...figures, guestBytesDone: 3, phase: 'convert' });
    display.update({ ...figures, guestBytesDone: 4, phase: 'convert' });
    display.update({ ...figures, guestBytesDone: 0, phase: 'verify' });
    display.update({ ...figures, guestBytesDone: 1, phase: 'verify' });
    display.end(true);
    expect(linesOf(output)).toMatchObject([
      { phase: 'convert', percent: 37.5, guestBytesDone: 3 },
      { phase: 'convert', percent: 50, guestBytesDone: 4 },
      { phase: 'verify', percent: 50, guestBytesDone: 0 },
      { phase: 'verify', percent: 62.5, guestBytesDone: 1 },
      { phase: 'verify', percent: 100, state: 'done' },
    ]);
  });

  test('a stream has no size, and no percentage before its end', () => {
    const output = new RecordedOutput();
    const display = new JsonDisplay(output, () => 0);
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
    const display = new JsonDisplay(output, () => 0);
    display.start();
    display.end(false);
    expect(linesOf(output)).toMatchObject([{ state: 'failed', percent: null, guestBytes: null }]);
  });

  test('a failure keeps the last percentage; an empty disk ends at 100 percent', () => {
    const [failed, empty] = [new RecordedOutput(), new RecordedOutput()];
    const half = new JsonDisplay(failed, () => 0);
    half.update({ guestBytesDone: 1, guestBytes: 2, dataBytes: 1, storedBytes: 1 });
    half.end(false);
    expect(linesOf(failed).at(-1)).toMatchObject({ state: 'failed', percent: 50 });
    new JsonDisplay(empty, () => 0).end(true);
    expect(linesOf(empty)).toMatchObject([{ state: 'done', percent: 100 }]);
  });
});
