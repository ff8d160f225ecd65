/** The interface of the progress displays, which every style implements. */
import type { WriteStream } from 'node:tty';
import type { Progress } from '../../workers/progress.js';

/** The value of --progress; auto is a bar on a terminal and qemu-img's lines elsewhere. */
export type ProgressStyle = 'auto' | 'bar' | 'qemu' | 'json' | 'none';

/** Shows the progress of one command: start, any number of updates, end. Never throws. */
export interface ProgressDisplay {
  start(): void;
  update(progress: Progress): void;
  /** Restores the terminal and ends on a new line. */
  end(success: boolean): void;
}

/** A standard output stream: a terminal, a file or a pipe. */
export type StandardStream = NodeJS.WritableStream &
  Partial<Pick<WriteStream, 'isTTY' | 'columns' | 'destroyed' | 'writableNeedDrain'>>;

/**
 * The finished part and the whole, in bytes; each of two phases counts as one half. The whole of a stream is undefined
 * until its end.
 */
export function partOf({ guestBytesDone, guestBytes, phase }: Progress): {
  readonly done: number;
  readonly whole: number | undefined;
} {
  if (phase === undefined || guestBytes === undefined) return { done: guestBytesDone, whole: guestBytes };
  const isSecond = phase === 'verify' || phase === 'write';
  return { done: guestBytesDone + (isSecond ? guestBytes : 0), whole: 2 * guestBytes };
}

/** The same from 0 to 1. */
export function shareOf(progress: Progress): number | undefined {
  const { done, whole } = partOf(progress);
  if (whole === undefined) return undefined;
  return whole === 0 ? 0 : done / whole;
}
