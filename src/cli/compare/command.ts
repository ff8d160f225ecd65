/** Runs the requested comparison and prints its verdict. */
import { compare } from '../../compare/compare.js';
import type { CompareOptions, CompareResult } from '../../compare/options.js';
import type { CommandIo } from '../command-io.js';
import { failureText } from '../failure.js';
import { longRun } from '../long-run.js';
import { progressStyle } from '../options/progress-option.js';
import { warn } from '../progress/notice.js';
import { type CompareRequest, compareOptions } from './request.js';
import { EXIT_CODES, NO_VERDICT, verdictText } from './verdict-text.js';

/** Includes the library functions, so that tests can replace them. */
export interface CompareIo extends CommandIo {
  readonly compare: (options: CompareOptions) => Promise<CompareResult>;
}

/** @returns the exit code, also after a signal. Never throws an error that the caller would turn into exit code 1. */
export async function compareCommand(
  request: CompareRequest,
  given: CommandIo & Partial<CompareIo>,
): Promise<number> {
  const io: CompareIo = { compare, ...given };
  const { stdout, stderr } = io;
  const { quiet = false } = request.words;
  try {
    const options = compareOptions(request);
    const style = progressStyle(request.words);
    const ended = await longRun(
      'Comparison',
      style,
      io,
      (hooks) => io.compare({ ...options, ...hooks, onWarning: (message) => warn(stderr, message) }),
      {
        isComplete: ({ verdict }) => verdict.kind === 'identical',
        describe: ({ verdict: { kind } }) => ({ verdict: kind }),
      },
    );
    if ('exitCode' in ended) return ended.exitCode;
    const text = verdictText(ended.result, request.files);
    if (!quiet) stdout.write(text.stdout);
    stderr.write(text.stderr);
    return EXIT_CODES[ended.result.verdict.kind];
  } catch (error) {
    const debug = request.words.debug === true || process.env['QCOW2C_DEBUG'] === '1';
    stderr.write(failureText(error, debug));
    return NO_VERDICT;
  }
}
