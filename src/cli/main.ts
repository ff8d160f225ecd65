/**
 * The program: bin/qcow2c.js imports this file and that runs it. Decides what is printed and the exit code.
 * What only some runs need is imported when they need it, for the start to be quick.
 */
import { ioError } from '../errors.js';
import { parseCommandLine } from './command-line.js';
import { failureText } from './failure.js';
import { exitAfter } from './forced-exit.js';
import { signalOf } from './interruption.js';
import { refuseUndecodedWords } from './options/argument-bytes.js';

/** Exit codes for an answer that could not be written, where 1 is wrong: what a conversion prints is no answer. */
const CODES_WITHOUT_OUTPUT: Readonly<Record<string, number>> = { convert: 0, compare: 2 };
let codeWithoutOutput = 1;
/** Exit codes for a failure before the command itself could decide, where 1 has another meaning. */
const FAILED: Readonly<Record<string, number>> = { compare: 2 };
/** Why standard output could not be written. */
let unwritten: Error | undefined;

/**
 * @param words the words after the program's name
 * @returns the exit code
 */
async function run(words: readonly string[]): Promise<number> {
  refuseUndecodedWords(words);
  const request = parseCommandLine(words);
  codeWithoutOutput = CODES_WITHOUT_OUTPUT[request.kind] ?? 1;
  process.exitCode = FAILED[request.kind] ?? 1;
  switch (request.kind) {
    case 'text':
      process.stdout.write(request.text);
      return 0;
    case 'versions': {
      const [{ surveyEngines }, { versionText }] = await Promise.all([
        import('../convert/engine-survey.js'),
        import('./versions.js'),
      ]);
      process.stdout.write(versionText(await surveyEngines()));
      return 0;
    }
    case 'convert': {
      const { convertCommand } = await import('./convert/command.js');
      return convertCommand(request);
    }
    case 'info': {
      const { infoCommand } = await import('./info/command.js');
      return infoCommand(request);
    }
    case 'check': {
      const { checkCommand } = await import('./check/command.js');
      return checkCommand(request);
    }
    case 'compare': {
      const { compareCommand } = await import('./compare/command.js');
      return compareCommand(request);
    }
    case 'map': {
      const { mapCommand } = await import('./map/command.js');
      return mapCommand(request);
    }
    case 'measure': {
      const { measureCommand } = await import('./measure/command.js');
      return measureCommand(request);
    }
    case 'completion': {
      const { completionCommand } = await import('./completion/command.js');
      return completionCommand(request);
    }
    case 'man': {
      const { manCommand } = await import('./man/command.js');
      return manCommand();
    }
  }
}

const words = process.argv.slice(2);
const debug = words.includes('--debug') || process.env['QCOW2C_DEBUG'] === '1';

// A reader that has gone away must not end a conversion; there is nobody left to tell.
process.stderr.on('error', () => {});
// But a full disk must not be taken for an answer.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') unwritten ??= ioError('Could not write standard output', error);
});
process.on('exit', (code) => {
  if (code !== 0 || unwritten === undefined || codeWithoutOutput === 0) return;
  process.stderr.write(failureText(unwritten, debug));
  process.exitCode = codeWithoutOutput;
});
// Past a limit on the size of files a write shall fail, which cleans up, and not end the process.
process.on('SIGXFSZ', () => {});

// Should the work come to no end at all, that was no success.
process.exitCode = 1;
run(words).then(
  (code) => {
    process.exitCode = code;
    const signal = signalOf(code);
    return signal && exitAfter(signal);
  },
  (error: unknown) => {
    process.stderr.write(failureText(error, debug));
  },
);
