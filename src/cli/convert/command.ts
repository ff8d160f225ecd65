/**
 * Runs the conversion that the command line asks for: shows its progress, lets signals end it, says what was
 * done. Returns the exit code; failures are thrown. Used by main.ts.
 */
import { convert } from '../../convert/convert.js';
import type { ConvertOptions, ConvertResult } from '../../convert/options.js';
import { Qcow2cError, quoted } from '../../errors.js';
import { warn } from '../aside.js';
import { messageLine } from '../failure.js';
import { exitCodeOf, Interruption } from '../interruption.js';
import { openDisplay } from '../open-display.js';
import { ProgressRequest } from '../progress-request.js';
import { type Surroundings, THIS_PROCESS } from '../surroundings.js';
import type { ConvertRequest } from './request.js';
import { summary } from './summary.js';
import { UnreadableWarnings } from './unreadable-warnings.js';

/** With the library, which tests replace. */
export interface ConvertSurroundings extends Surroundings {
  readonly convert: (options: ConvertOptions) => Promise<ConvertResult>;
}

/**
 * @returns 0, or the exit code for the signal that ended the conversion
 * @throws what the conversion throws for any other reason
 */
export async function convertCommand(
  { options, progress, quiet, verbose }: ConvertRequest,
  surroundings: ConvertSurroundings = { ...THIS_PROCESS, convert },
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
