/** Runs the requested comparison and prints its verdict. */
import { compare } from '../../compare/compare.js';
import type { CompareOptions, CompareResult } from '../../compare/options.js';
import type { CommandIo } from '../command-io.js';
import { longRun } from '../long-run.js';
import { warn } from '../progress/notice.js';
import type { CompareRequest } from './request.js';
import { EXIT_CODES, verdictText } from './verdict-text.js';

/** Includes the library functions, so that tests can replace them. */
export interface CompareIo extends CommandIo {
  readonly compare: (options: CompareOptions) => Promise<CompareResult>;
}

/**
 * @returns the exit code, also after a signal
 * @throws the error to print with exit code 2
 */
export async function compareCommand(
  { options, files, progress, quiet }: CompareRequest,
  given: CommandIo & Partial<CompareIo>,
): Promise<number> {
  const io: CompareIo = { compare, ...given };
  const { stdout, stderr } = io;
  const ended = await longRun(
    'Comparison',
    progress,
    io,
    (hooks) => io.compare({ ...options, ...hooks, onWarning: (message) => warn(stderr, message) }),
    {
      isComplete: ({ verdict }) => verdict.kind === 'identical',
      describe: ({ verdict: { kind } }) => ({ verdict: kind }),
    },
  );
  if ('exitCode' in ended) return ended.exitCode;
  const text = verdictText(ended.result, files);
  if (!quiet) stdout.write(text.stdout);
  stderr.write(text.stderr);
  return EXIT_CODES[ended.result.verdict.kind];
}
