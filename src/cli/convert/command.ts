/** Runs the requested conversion and prints its summary. */
import { constants } from 'node:os';
import { convert, convertLast } from '../../convert/convert.js';
import type { ConvertOptions, ConvertResult } from '../../convert/options.js';
import { Qcow2cError, quoted } from '../../errors.js';
import { streamTitle } from '../../storage/stream-name.js';
import { listLine, shownLine } from '../checksum/list-line.js';
import type { CommandIo } from '../command-io.js';
import { LONGEST_REMOVAL, longRun, type RunHooks } from '../long-run.js';
import { qapiJson } from '../options/qapi-object.js';
import { warn } from '../progress/notice.js';
import { type ConvertRequest, STANDARD_STREAM } from './request.js';
import { resultObject } from './result-object.js';
import { summary } from './summary.js';
import { isStandardOutput, refuseStandardError } from './target-descriptor.js';
import { UnreadableWarnings } from './unreadable-warnings.js';

/** Includes the library functions, so that tests can replace them. */
export interface ConvertIo extends CommandIo {
  readonly convert: (options: ConvertOptions) => Promise<ConvertResult>;
}

/** The exit code that shells report for a program that wrote into a pipe without a reader. */
const BROKEN_PIPE = 128 + constants.signals.SIGPIPE;

/**
 * @returns 0, or the exit code for the signal that ended the conversion
 * @throws any other error of the conversion
 */
export async function convertCommand(
  { options, output, progress, quiet, verbose }: ConvertRequest,
  given: CommandIo & Partial<ConvertIo>,
): Promise<number> {
  const io: ConvertIo = { convert: given.endsProcess ? convertLast : convert, ...given };
  const { stderr } = io;
  const { target } = options;
  const name = typeof target === 'string' ? target : streamTitle(target);
  refuseStandardError(target);
  // Standard output takes the image and nothing else.
  const display = isStandardOutput(target) ? { ...io, stdout: stderr } : io;
  // The result is alone on standard output.
  const shown = output === 'json' ? { ...display, stdout: stderr } : display;
  const warnings = new UnreadableWarnings(stderr);
  const what = `Conversion to ${quoted(name)}`;
  const run = (hooks: RunHooks) =>
    io.convert({
      ...options,
      ...hooks,
      onUnreadable: quiet ? undefined : (range) => warnings.add(range),
      // Printed with -q too, as in qemu-img: only a warning tells that a part is missing from the target.
      onWarning: (message) => warn(stderr, message),
    });
  const work = longRun(what, progress, shown, run, {
    describe: resultObject,
    patience: LONGEST_REMOVAL,
  });
  const ended = await work.catch((error) => {
    if (isBrokenPipe(error, name)) return { exitCode: BROKEN_PIPE };
    throw error;
  });
  if ('exitCode' in ended) return ended.exitCode;
  warnings.finish(name);
  const { digest, sha256 } = ended.result;
  if (output === 'json') {
    display.stdout.write(qapiJson(resultObject(ended.result)));
  } else {
    // Standard output has the name that checksum and sha256sum give to standard input.
    const listed = typeof target === 'string' ? target : STANDARD_STREAM;
    for (const each of [digest, sha256])
      if (each) display.stdout.write(shownLine(listLine(each, listed), display.stdout));
  }
  if (verbose) stderr.write(summary(ended.result));
  return 0;
}

/** Whether the reader of the target has closed it. */
function isBrokenPipe(error: unknown, target: string): boolean {
  return error instanceof Qcow2cError && error.systemCode === 'EPIPE' && error.file === target;
}
