/**
 * The program. bin/qcow2c.js calls `main`, which connects a command line with this process. `runCommandLine` runs one
 * without touching the process. Modules that only some runs need are imported on demand, so that the program starts
 * fast.
 */
import type { EventEmitter } from 'node:events';
import { ioError } from '../errors.js';
import type { CommandIo } from './command-io.js';
import { parseCommandLine, type Request } from './command-line.js';
import { startThreadsEarly } from './early-threads.js';
import { failureText } from './failure.js';
import { exitAfter } from './forced-exit.js';
import { signalOf } from './interruption.js';
import { optimizeLater } from './late-optimization.js';
import { refuseUndecodedWords } from './options/argument-bytes.js';

/** The exit code of a command line that fails. For compare 1 means that the images differ. */
function failureCode([command]: readonly string[]): number {
  return command === 'compare' ? 2 : 1;
}

/** Whether the request fails if standard output cannot be written. Progress may be lost, an answer may not. */
function needsOutput(request: Request): boolean {
  if (request.kind !== 'convert') return true;
  const { options, output } = request;
  return options.digest === true || options.sha256 === true || output === 'json';
}

/** Runs the command line of this process, and ends the process after a signal. */
export async function main(): Promise<void> {
  const words = process.argv.slice(2);
  let isOutputNeeded = true;
  /** The reason why standard output could not be written. */
  let unwritten: Error | undefined;

  // A conversion continues after the reader has closed the pipe.
  process.stderr.on('error', () => {});
  // But a full disk is an error, because the answer is lost.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') unwritten ??= ioError('Could not write standard output', error);
  });
  process.on('exit', (code) => {
    if (code !== 0 || unwritten === undefined || !isOutputNeeded) return;
    process.stderr.write(failureText(unwritten, isDebugging(words)));
    process.exitCode = failureCode(words);
  });
  // A write beyond the file size limit must fail, so that the command cleans up, instead of ending the process.
  process.on('SIGXFSZ', () => {});

  const { stdout, stderr } = process;
  const io: ProgramIo = {
    ...{ stdout, stderr, process, now: () => performance.now() },
    ...{ endsProcess: true, onFirstPart: optimizeLater },
  };
  await runCommandLine(words, io, (request) => {
    isOutputNeeded = needsOutput(request);
  });
  // The end of the process frees memory faster than Node.js takes its heap apart.
  process.once('beforeExit', () => process.exit());
  const signal = signalOf(Number(process.exitCode));
  if (signal !== undefined) await exitAfter(signal);
}

interface ProgramIo extends CommandIo {
  /** Emits signals, and receives the exit code. */
  readonly process: EventEmitter & { exitCode?: number | string | null | undefined };
}

/**
 * Runs a command line and prints a failure. Never rejects. The exit code is also set before the work begins, so that
 * work that never ends is not a success.
 * @param words the words after the program's name
 * @param onRequest called with the request once the words are understood
 */
export async function runCommandLine(
  words: readonly string[],
  io: ProgramIo,
  onRequest: (request: Request) => void = () => {},
): Promise<void> {
  io.process.exitCode = failureCode(words);
  try {
    refuseUndecodedWords(words);
    const request = parseCommandLine(words);
    onRequest(request);
    io.process.exitCode = await runRequest(request, io);
  } catch (error) {
    io.stderr.write(failureText(error, isDebugging(words)));
  }
}

/** @returns the exit code */
async function runRequest(request: Request, io: CommandIo): Promise<number> {
  switch (request.kind) {
    case 'text':
      io.stdout.write(request.text);
      return 0;
    case 'versions': {
      const [{ surveyEngines }, { versionText }] = await Promise.all([
        import('../convert/engine-survey.js'),
        import('./versions.js'),
      ]);
      io.stdout.write(versionText(await surveyEngines()));
      return 0;
    }
    case 'convert': {
      await startThreadsEarly(request.options.sources[0], request.options);
      const { convertCommand } = await import('./convert/command.js');
      return convertCommand(request, io);
    }
    case 'info': {
      const { infoCommand } = await import('./info/command.js');
      return infoCommand(request, io);
    }
    case 'check': {
      const { checkCommand } = await import('./check/command.js');
      return checkCommand(request, io);
    }
    case 'compare': {
      const { compareCommand } = await import('./compare/command.js');
      return compareCommand(request, io);
    }
    case 'checksum': {
      const { checksumCommand } = await import('./checksum/command.js');
      return checksumCommand(request, io);
    }
    case 'map': {
      const { mapCommand } = await import('./map/command.js');
      return mapCommand(request, io);
    }
    case 'measure': {
      const { measureCommand } = await import('./measure/command.js');
      return measureCommand(request, io);
    }
    case 'completion': {
      const { completionCommand } = await import('./completion/command.js');
      return completionCommand(request, io);
    }
    case 'man': {
      const { manCommand } = await import('./man/command.js');
      return manCommand(io);
    }
  }
}

function isDebugging(words: readonly string[]): boolean {
  return words.includes('--debug') || process.env['QCOW2C_DEBUG'] === '1';
}
