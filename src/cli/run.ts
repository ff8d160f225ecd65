/**
 * Runs one command line: decides what is printed and the exit code. What only some runs need is imported when they
 * need it, for the start to be quick. Used by main.ts.
 */
import type { EventEmitter } from 'node:events';
import type { CommandIo } from './command-io.js';
import { parseCommandLine, type Request } from './command-line.js';
import { failureText } from './failure.js';
import { refuseUndecodedWords } from './options/argument-bytes.js';

/** Exit codes for a failure before the command itself could decide, where 1 has another meaning. */
const FAILED: Readonly<Record<string, number>> = { compare: 2 };

export interface ProgramIo extends CommandIo {
  /** Emits signals, and is given the exit code. */
  readonly process: EventEmitter & { exitCode?: number | string | null | undefined };
}

/**
 * Runs a command line and prints a failure. Never rejects. The exit code is set before the work begins too: work that
 * never ends was no success.
 * @param words the words after the program's name
 * @param onRequest called with the kind of the request once the words are understood
 */
export async function runCommandLine(
  words: readonly string[],
  io: ProgramIo,
  onRequest: (kind: Request['kind']) => void = () => {},
): Promise<void> {
  io.process.exitCode = 1;
  try {
    refuseUndecodedWords(words);
    const request = parseCommandLine(words);
    onRequest(request.kind);
    io.process.exitCode = FAILED[request.kind] ?? 1;
    io.process.exitCode = await runRequest(request, io);
  } catch (error) {
    const debug = words.includes('--debug') || process.env['QCOW2C_DEBUG'] === '1';
    io.stderr.write(failureText(error, debug));
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
