/** Runs the requested check, prints its findings, and returns its verdict as the exit code. */
import { check } from '../../check/check.js';
import type { CheckOptions, CheckResult } from '../../check/options.js';
import { quoted } from '../../errors.js';
import { imageReference } from '../../image/image-reference.js';
import type { CommandIo } from '../command-io.js';
import { messageLine } from '../failure.js';
import { longRun } from '../long-run.js';
import { warn, writeNotice } from '../progress/notice.js';
import type { CheckRequest } from './request.js';
import { checkResultJson, checkResultText } from './result-text.js';

/** The exit codes of img_check in qemu-img; 0: no errors. */
const FAILED = 1;
const CORRUPT = 2;
const LEAKING = 3;
const NO_CHECKS = 63;

/** Includes the library functions, so that tests can replace them. */
export interface CheckIo extends CommandIo {
  readonly check: (options: CheckOptions) => Promise<CheckResult | undefined>;
}

/**
 * @returns the exit code
 * @throws the error to print with exit code 1: the image could not be opened or not checked completely
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
  if (!quiet) stdout.write(output === 'json' ? checkResultJson(result, name) : checkResultText(result));
  if (result.checkErrors > 0) {
    stderr.write(messageLine('Check failed'));
    return FAILED;
  }
  return result.corruptions > 0 ? CORRUPT : result.leaks > 0 ? LEAKING : 0;
}
