/** Runs `measure` and prints its result. */
import { quoted } from '../../errors.js';
import { measure } from '../../measure/measure.js';
import type { Measurement, MeasureOptions } from '../../measure/options.js';
import type { CommandIo } from '../command-io.js';
import { longRun } from '../long-run.js';
import { warn } from '../progress/notice.js';
import { measurementJson, measurementText } from './measurement-text.js';
import type { MeasureRequest } from './request.js';

/** Includes the library functions, so that tests can replace them. */
export interface MeasureIo extends CommandIo {
  readonly measure: (options: MeasureOptions) => Promise<Measurement>;
}

/**
 * @returns 0, or the exit code for the signal that ended the measurement
 * @throws any other error of the measurement
 */
export async function measureCommand(
  { options, name, output, progress }: MeasureRequest,
  given: CommandIo & Partial<MeasureIo>,
): Promise<number> {
  const io: MeasureIo = { measure, ...given };
  const { stdout, stderr } = io;
  // Standard output is for the result only.
  const style = progress === 'auto' && !stderr.isTTY ? 'none' : progress;
  const ended = await longRun(`Measurement of ${quoted(name)}`, style, io, (hooks) =>
    io.measure({ ...options, ...hooks, onWarning: (message) => warn(stderr, message) }),
  );
  if ('exitCode' in ended) return ended.exitCode;
  stdout.write(output === 'json' ? measurementJson(ended.result) : measurementText(ended.result));
  return 0;
}
