import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { BarDisplay } from '../../src/cli/progress/progress-bar.js';
import { type BarState, barLine } from '../../src/cli/progress/progress-bar-line.js';
import { RecordedOutput } from './recorded-output.js';

const HALF: BarState = {
  progress: { guestBytesDone: 5e9, guestBytes: 10e9, dataBytes: 4e9, storedBytes: 1e9, ratio: 0.25 },
  elapsed: 8000,
  waited: 1000,
  finished: false,
};
const NOTHING = { guestBytesDone: 0, guestBytes: 0, dataBytes: 0, storedBytes: 0 };

describe('barLine', () => {
  test('shows percent, speed of the data, ratio and the time left since the last report', () => {
    expect(barLine(HALF, 80)).toBe(
      ` 50.0%  [=================------------------]   500 MB/s  ratio 0.250  ETA 0:07`,
    );
  });

  test.each([
    [{ ...HALF, finished: true }, /^100\.0% .*\[=+\] .* in 0:09$/],
    [{ ...HALF, elapsed: 0, waited: 0, progress: NOTHING }, /^ {2}0\.0% {2}\[-+\] {5}- MB\/s {2}ETA -$/],
    [{ ...HALF, waited: 60_000 }, /ETA 0:00$/],
    [{ ...HALF, elapsed: 4_000_000 }, /ETA 1:06:39$/],
    [{ ...HALF, progress: { ...HALF.progress, guestBytesDone: 9_999_999_999 } }, /^ 99\.9%/],
  ])('%j', (state, pattern) => {
    expect(barLine(state, 100)).toMatch(pattern);
  });

  test.each([
    [80, false, '  5000 MB   500 MB/s  ratio 0.250  in 0:09'],
    [80, true, '  5000 MB   500 MB/s  ratio 0.250  in 0:09'],
    [25, false, '  5000 MB  in 0:09'],
  ])(
    'of a stream shows megabytes so far and the elapsed time (%d columns, finished: %s)',
    (columns, finished, line) => {
      const progress = { ...HALF.progress, guestBytes: undefined };
      expect(barLine({ ...HALF, progress, finished }, columns)).toBe(line);
    },
  );

  test.each([
    [60, ' 50.0%  [=======--------]   500 MB/s  ratio 0.250  ETA 0:07'],
    [50, ' 50.0%   500 MB/s  ratio 0.250  ETA 0:07'],
    [40, ' 50.0%   500 MB/s  ETA 0:07'],
    [35, ' 50.0%   500 MB/s  ETA 0:07'],
    [20, ' 50.0%  ETA 0:07'],
    [10, ' 50.0%'],
    [4, ' 50'],
    [0, ''],
  ])('omits parts that do not fit into %d columns', (columns, line) => {
    expect(barLine(HALF, columns)).toBe(line);
  });

  test('follows the share of the work rather than bytes of the disk', () => {
    const progress = { ...HALF.progress, share: 0.2 };
    expect(barLine({ ...HALF, progress }, 80)).toMatch(/^ 20\.0% .* ETA 0:31$/);
  });

  test('never fills the last column, in any state', () => {
    const bytes = fc.nat({ max: Number.MAX_SAFE_INTEGER });
    const state = fc.record({
      progress: fc.record({
        guestBytesDone: bytes,
        guestBytes: fc.option(bytes, { nil: undefined }),
        dataBytes: bytes,
        storedBytes: bytes,
        ratio: fc.option(fc.double({ min: 0, max: 1, noNaN: true }), { nil: undefined }),
      }),
      elapsed: fc.nat(),
      waited: fc.nat(),
      finished: fc.boolean(),
    });
    fc.assert(
      fc.property(state, fc.integer({ min: 1, max: 300 }), (any, columns) => {
        const guestBytesDone = Math.min(
          any.progress.guestBytesDone,
          any.progress.guestBytes ?? Number.MAX_SAFE_INTEGER,
        );
        const line = barLine({ ...any, progress: { ...any.progress, guestBytesDone } }, columns);
        expect(line.length).toBeLessThan(columns);
        expect(line).not.toMatch(/NaN|Infinity|undefined/);
      }),
    );
  });
});

describe('BarDisplay', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  const ESCAPE = '\x1b';
  const SEQUENCE = new RegExp(`${ESCAPE}(\\[[?0-9]*[a-zA-Z]|[78])`, 'g');
  const HIDDEN = `${ESCAPE}[?25l`;
  const SHOWN = `${ESCAPE}[?25h`;

  /** Draws half of a conversion and ends it. */
  function draw(columns: number | undefined, success: boolean): string {
    const terminal = new RecordedOutput(columns);
    const display = new BarDisplay(terminal, () => Date.now());
    display.start();
    vi.advanceTimersByTime(1000);
    display.update({ guestBytesDone: 1e9, guestBytes: 2e9, dataBytes: 1e9, storedBytes: 5e8 });
    vi.advanceTimersByTime(500);
    display.end(success);
    return terminal.text;
  }

  test.each([true, false])('hides the cursor and restores it (success: %s)', (success) => {
    const text = draw(80, success);
    expect(text.indexOf(HIDDEN)).toBeGreaterThanOrEqual(0);
    expect(text.lastIndexOf(SHOWN)).toBeGreaterThan(text.lastIndexOf(HIDDEN));
    expect(text).toMatch(/\n$/);
    expect(text).toContain(success ? '100.0%' : ' 50.0%');
    expect(text.includes('100.0%')).toBe(success);
    expect(vi.getTimerCount()).toBe(0);
  });

  test('redraws between reports, so that the time left counts down', () => {
    const terminal = new RecordedOutput(80);
    const display = new BarDisplay(terminal, () => Date.now());
    display.start();
    vi.advanceTimersByTime(10_000);
    display.update({ guestBytesDone: 1, guestBytes: 2, dataBytes: 1, storedBytes: 1 });
    vi.advanceTimersByTime(3000);
    expect(terminal.text).toContain('ETA 0:10');
    expect(terminal.text).toContain('ETA 0:07');
    display.end(false);
  });

  test.each([10, 20, 40, 80, 200])(
    'nothing wraps in %d columns, not even after the window shrinks',
    (columns) => {
      const terminal = new RecordedOutput(200);
      const display = new BarDisplay(terminal, () => Date.now());
      display.start();
      vi.advanceTimersByTime(300);
      terminal.text = '';
      terminal.columns = columns;
      display.update({ guestBytesDone: 1, guestBytes: 2, dataBytes: 1, storedBytes: 1 });
      vi.advanceTimersByTime(300);
      display.end(true);
      const lines = terminal.text
        .split(new RegExp(`${ESCAPE}\\[1G|\n`))
        .map((part) => part.replace(SEQUENCE, ''));
      expect(lines.length).toBeGreaterThan(2);
      for (const line of lines) expect(line.length).toBeLessThan(columns);
    },
  );

  test.each([
    ['', 40, `${ESCAPE}[1A\r${ESCAPE}[J`],
    ['', 20, `${ESCAPE}[3A\r${ESCAPE}[J`],
    [undefined, 40, ''],
  ])(
    'removes the rows of a broken line, in a terminal that breaks lines (%j, %d columns)',
    (tmux, columns, cleared) => {
      for (const name of ['VTE_VERSION', 'TERM_PROGRAM', 'KITTY_WINDOW_ID']) vi.stubEnv(name, undefined);
      vi.stubEnv('TMUX', tmux);
      const terminal = new RecordedOutput(80);
      const display = new BarDisplay(terminal, () => Date.now());
      display.start();
      display.update({ guestBytesDone: 1, guestBytes: 2, dataBytes: 1, storedBytes: 1, ratio: 0.5 });
      vi.advanceTimersByTime(1000);
      terminal.text = '';
      terminal.columns = columns;
      vi.advanceTimersByTime(1000);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: the sequence that clears rows
      expect(terminal.text.match(/\x1b\[\dA\r\x1b\[J/g) ?? []).toEqual(cleared === '' ? [] : [cleared]);
      display.end(true);
      vi.unstubAllEnvs();
    },
  );

  test('draws nothing without a terminal', () => {
    expect(draw(undefined, true)).toBe('');
    expect(vi.getTimerCount()).toBe(0);
  });

  test('does not listen to signals', () => {
    const before = process.listenerCount('SIGINT') + process.listenerCount('SIGTERM');
    const display = new BarDisplay(new RecordedOutput(80), () => Date.now());
    display.start();
    expect(process.listenerCount('SIGINT') + process.listenerCount('SIGTERM')).toBe(before);
    display.end(true);
  });
});
