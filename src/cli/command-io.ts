/** The input and output of a command: its streams, the signals and the clock. */
import type { EventEmitter } from 'node:events';
import type { StandardStream } from './progress/progress-display.js';

export interface CommandIo {
  readonly stdout: StandardStream;
  readonly stderr: StandardStream;
  /** Emits signals. */
  readonly process: EventEmitter;
  /** A clock in milliseconds. */
  readonly now: () => number;
  /** Whether the process ends with the command, so that no thread is kept for another. Default: false. */
  readonly endsProcess?: boolean | undefined;
  /** Called once the first part of a long command is done. Default: nothing happens. */
  readonly onFirstPart?: (() => void) | undefined;
}
