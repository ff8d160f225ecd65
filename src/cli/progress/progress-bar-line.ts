/** The texts of progress for people: the line of the bar, and the figures that logs show too. */
import type { Progress } from '../../workers/progress.js';
import { shareOf } from './progress-display.js';

/** A shorter bar shows less than the number beside it. */
const SHORTEST_BAR = 8;
const LONGEST_BAR = 50;

/** The content of a line. Times in milliseconds. */
export interface BarState {
  readonly progress: Progress;
  /** From the start to the moment `progress` was reported. */
  readonly elapsed: number;
  /** From that moment until now. */
  readonly waited: number;
  readonly finished: boolean;
}

/** The figures of a line, padded so that a line that is drawn again does not jump. */
interface ProgressFigures {
  /** Percent, or megabytes of a stream. */
  readonly position: string;
  /** The time left; of a stream and at the end, the time that has passed. */
  readonly time: string;
  /** Guest bytes of data a second. */
  readonly speed: string;
  readonly ratio: string | undefined;
}

export function figuresOf({ progress, elapsed, waited, finished }: BarState): ProgressFigures {
  const { guestBytesDone, dataBytes, ratio } = progress;
  const share = shareIn({ progress, finished });
  return {
    position:
      share === undefined
        ? `${(guestBytesDone / 1e6).toFixed(0).padStart(6)} MB`
        : `${(Math.floor(share * 1000) / 10).toFixed(1).padStart(5)}%`,
    time:
      share === undefined || finished
        ? `in ${duration(elapsed + waited)}`
        : `ETA ${timeLeft(share, elapsed, waited)}`,
    speed: `${speed(dataBytes, elapsed)} MB/s`,
    ratio: ratio === undefined ? undefined : `ratio ${ratio.toFixed(3)}`,
  };
}

function shareIn({ progress, finished }: Pick<BarState, 'progress' | 'finished'>): number | undefined {
  return finished && progress.guestBytes !== undefined ? 1 : shareOf(progress);
}

/**
 * The line for a terminal of `columns` characters, at least one shorter than that. Parts that do not fit are omitted:
 * the bar first, then ratio and speed, and the time last.
 */
export function barLine(state: BarState, columns: number): string {
  const { position, time, speed, ratio } = figuresOf(state);
  const share = shareIn(state);
  const room = columns - 1;
  const join = (parts: readonly (string | undefined)[]) =>
    parts.filter((part) => part !== undefined).join('  ');
  const barLength = Math.min(LONGEST_BAR, room - join([position, '[]', speed, ratio, time]).length);
  if (share !== undefined && barLength >= SHORTEST_BAR) {
    const full = Math.floor(share * barLength);
    const bar = `[${'='.repeat(full)}${'-'.repeat(barLength - full)}]`;
    return join([position, bar, speed, ratio, time]);
  }
  const lines = [[position, speed, ratio, time], [position, speed, time], [position, time], [position]];
  const line = lines.map(join).find(({ length }) => length <= room) ?? position;
  return line.slice(0, Math.max(0, room));
}

/** Guest bytes of data a second in megabytes, right-aligned so that the line does not jump. */
function speed(bytes: number, milliseconds: number): string {
  const value = milliseconds === 0 ? '-' : (bytes / 1000 / milliseconds).toFixed(0);
  return value.padStart(4);
}

function timeLeft(share: number, elapsed: number, waited: number): string {
  return share === 0 ? '-' : duration(Math.max(0, (elapsed * (1 - share)) / share - waited));
}

function duration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
