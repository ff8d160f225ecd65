/**
 * Runs the conversion that the command line asks for: shows its progress, lets signals end it, says what was
 * done. Returns the exit code; failures are thrown. Used by main.ts.
 */
import type { EventEmitter } from 'node:events';
import { convert } from '../../convert/convert.js';
import type { ConvertOptions, ConvertResult } from '../../convert/options.js';
import { Qcow2cError, quoted } from '../../errors.js';
import { warn } from '../aside.js';
import { messageLine } from '../failure.js';
import { exitCodeOf, Interruption } from '../interruption.js';
import type { Output, ProgressDisplay, ProgressStyle } from '../progress-display.js';
import { JsonDisplay } from '../progress-json.js';
import { QemuDisplay } from '../progress-qemu.js';
import { ProgressRequest } from '../progress-request.js';
import type { ConvertRequest } from './request.js';
import { summary } from './summary.js';
import { UnreadableWarnings } from './unreadable-warnings.js';

/** What surrounds the command. */
export interface Surroundings {
  readonly stdout: Output;
  readonly stderr: Output;
  /** Emits signals. */
  readonly process: EventEmitter;
  /** A clock in milliseconds. */
  readonly now: () => number;
  readonly convert: (options: ConvertOptions) => Promise<ConvertResult>;
}

const THIS_PROCESS: Surroundings = {
  stdout: process.stdout,
  stderr: process.stderr,
  process,
  now: () => performance.now(),
  convert,
};

/**
 * @returns 0, or the exit code for the signal that ended the conversion
 * @throws what the conversion throws for any other reason
 */
export async function convertCommand(
  { options, progress, quiet, verbose }: ConvertRequest,
  surroundings: Surroundings = THIS_PROCESS,
): Promise<number> {
  const { stderr } = surroundings;
  const interruption = new Interruption(surroundings.process);
  const request = new ProgressRequest(surroundings.process, stderr);
  const display = await openDisplay(progress, surroundings);
  const warnings = new UnreadableWarnings(stderr);
  display.start();
  try {
    const result = await surroundings.convert({
      ...options,
      onProgress: (state) => {
        display.update(state);
        request.update(state);
      },
      onUnreadable: quiet ? undefined : (range) => warnings.add(range),
      // Told with -q too, as in qemu-img: nothing else says that the target lacks something.
      onWarning: (message) => warn(stderr, message),
      signal: interruption.abortSignal,
    });
    display.end(true);
    warnings.finish(options.target);
    if (verbose) stderr.write(summary(result));
    return 0;
  } catch (error) {
    display.end(false);
    if (interruption.crash !== undefined) throw interruption.crash.error;
    if (interruption.signal === undefined) throw error;
    if (!(error instanceof Qcow2cError && error.code === 'ERR_ABORTED')) throw error;
    stderr.write(messageLine(`Conversion to ${quoted(options.target)} stopped by ${interruption.signal}`));
    return exitCodeOf(interruption.signal);
  } finally {
    request.release();
    interruption.release();
  }
}

async function openDisplay(style: ProgressStyle, surroundings: Surroundings): Promise<ProgressDisplay> {
  const { stdout, stderr, now } = surroundings;
  switch (style === 'auto' ? (stderr.isTTY ? 'bar' : 'qemu') : style) {
    case 'bar': {
      // Loaded when there is a bar to draw: the start of every other conversion is so much faster.
      const { BarDisplay } = await import('../progress-bar.js');
      return new BarDisplay(stderr, now);
    }
    case 'json':
      return new JsonDisplay(stderr, now);
    case 'qemu':
      return new QemuDisplay(stdout);
    case 'none':
      return { start() {}, update() {}, end() {} };
  }
}
