/** Runs the check that the command line asks for, prints what it found, and says it with the exit code too. */
import { check } from '../../check/check.js';
import type { CheckOptions, CheckResult } from '../../check/options.js';
import { quoted } from '../../errors.js';
import { imageReference } from '../../image/image-reference.js';
import type { CommandIo } from '../command-io.js';
import { messageLine } from '../failure.js';
import { longRun } from '../long-run.js';
import { warn, writeNotice } from '../progress/notice.js';
import type { CheckRequest } from './request.js';
import { humanText, jsonText } from './result-text.js';

/** What the exit codes mean (img_check in qemu-img); 0: nothing is wrong. */
const FAILED = 1;
const CORRUPT = 2;
const LEAKING = 3;
const NO_CHECKS = 63;

/** With the library, which tests replace. */
export interface CheckIo extends CommandIo {
  readonly check: (options: CheckOptions) => Promise<CheckResult | undefined>;
}

/**
 * @returns the exit code
 * @throws what is to be printed as an error with exit code 1: the image could not be opened or not checked to its end
 */
export async function checkCommand(
  { options, name, output, progress, quiet }: CheckRequest,
  given: CommandIo & Partial<CheckIo>,
): Promise<number> {
  const io: CheckIo = { check, ...given };
  const { stdout, stderr } = io;
  const ended = await longRun(
    `Check of ${quoted(imageReference(options.image).file)}`,
    progress,
    io,
    (hooks) =>
      io.check({
        ...options,
        ...hooks,
        onFinding: (_, words) => writeNotice(stderr, `${words}\n`),
        onRebuild: () => writeNotice(stderr, 'Rebuilding refcount structure\n'),
        onWarning: (message) => warn(stderr, message),
      }),
  );
  if ('exitCode' in ended) return ended.exitCode;
  const { result } = ended;
  if (result === undefined) {
    stderr.write(messageLine('This image format does not support checks'));
    return NO_CHECKS;
  }
  if (!quiet) stdout.write(output === 'json' ? jsonText(result, name) : humanText(result));
  if (result.checkErrors > 0) {
    stderr.write(messageLine('Check failed'));
    return FAILED;
  }
  return result.corruptions > 0 ? CORRUPT : result.leaks > 0 ? LEAKING : 0;
}
