/** The interface of the progress displays, which every style implements. */
import type { WriteStream } from 'node:tty';
import type { Progress } from '../../workers/progress.js';

/** The styles that print lines at an interval. */
type Periodic = 'log' | 'json';

/**
 * The value of --progress; auto is a bar on a terminal and qemu-img's lines elsewhere. The number is an interval in
 * seconds.
 */
export type ProgressStyle = 'auto' | 'bar' | 'qemu' | 'none' | Periodic | `${Periodic},${number}`;

/** Shows the progress of one command: start, any number of updates, end. Never throws. */
export interface ProgressDisplay {
  start(): void;
  update(progress: Progress): void;
  /** Restores the terminal and ends on a new line. @param result for programs */
  end(success: boolean, result?: object): void;
}

/** A standard output stream: a terminal, a file or a pipe. */
export type StandardStream = NodeJS.WritableStream &
  Partial<Pick<WriteStream, 'isTTY' | 'columns' | 'destroyed' | 'writableNeedDrain'>>;

/** The part of the work that is done, from 0 to 1; undefined: a stream of unknown length. */
export function shareOf({ share, guestBytesDone, guestBytes }: Progress): number | undefined {
  if (share !== undefined || guestBytes === undefined) return share;
  return guestBytes === 0 ? 0 : guestBytesDone / guestBytes;
}
