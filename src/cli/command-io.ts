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
  /** Called once the first part of a long command is done. Default: nothing happens. */
  readonly onFirstPart?: (() => void) | undefined;
}
