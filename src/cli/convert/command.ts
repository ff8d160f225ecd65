/** Runs the requested conversion and prints its summary. */
import { convert } from '../../convert/convert.js';
import type { ConvertOptions, ConvertResult } from '../../convert/options.js';
import { quoted } from '../../errors.js';
import { listLine } from '../checksum/list-line.js';
import type { CommandIo } from '../command-io.js';
import { longRun } from '../long-run.js';
import { warn } from '../progress/notice.js';
import type { ConvertRequest } from './request.js';
import { summary } from './summary.js';
import { UnreadableWarnings } from './unreadable-warnings.js';

/** Includes the library functions, so that tests can replace them. */
export interface ConvertIo extends CommandIo {
  readonly convert: (options: ConvertOptions) => Promise<ConvertResult>;
}

/**
 * @returns 0, or the exit code for the signal that ended the conversion
 * @throws any other error of the conversion
 */
export async function convertCommand(
  { options, progress, quiet, verbose }: ConvertRequest,
  given: CommandIo & Partial<ConvertIo>,
): Promise<number> {
  const io: ConvertIo = { convert, ...given };
  const { stderr } = io;
  const warnings = new UnreadableWarnings(stderr);
  const ended = await longRun(`Conversion to ${quoted(options.target)}`, progress, io, (hooks) =>
    io.convert({
      ...options,
      ...hooks,
      onUnreadable: quiet ? undefined : (range) => warnings.add(range),
      // Printed with -q too, as in qemu-img: only a warning tells that a part is missing from the target.
      onWarning: (message) => warn(stderr, message),
    }),
  );
  if ('exitCode' in ended) return ended.exitCode;
  warnings.finish(options.target);
  const { digest } = ended.result;
  if (digest !== undefined) io.stdout.write(listLine(digest, options.target));
  if (verbose) stderr.write(summary(ended.result));
  return 0;
}
