/** The built command line: its words, its two outputs and its exit, in this process or as a user starts it. */
import { fileURLToPath } from 'node:url';
import { inject } from 'vitest';
import { type Outcome, type Running, type RunOptions, run, start } from '../oracle/run.js';
import { type NamedPipe, whileWriting } from './named-pipe.js';
import { runHere } from './program-here.js';

const notBuilt = inject('notBuilt');
if (notBuilt !== undefined) throw new Error(notBuilt);

export const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../bin/qcow2c.js', import.meta.url));

export interface CliOptions extends RunOptions {
  /** A command to run it under: strace, prlimit. */
  readonly under?: readonly string[] | undefined;
  /** Another installation's bin/qcow2c.js. */
  readonly program?: string | undefined;
  /** Options for Node.js itself. */
  readonly nodeOptions?: readonly string[] | undefined;
  /** A named pipe among the arguments, and what writes to it: a stream for a run in this process. */
  readonly pipe?: NamedPipe | undefined;
}

/**
 * A command under which some system calls of qcow2c fail or take longer: strace's -e inject, such as
 * `error=EIO:when=3`. Calls are counted by name and by
 * thread: see ONE_THREAD.
 * @param calls system calls, with commas between
 * @param more further arguments of strace, such as -P FILE for the calls on one file
 */
export function injecting(calls: string, fault: string, more: readonly string[] = []): string[] {
  const inject = ['-e', `trace=${calls}`, '-e', `inject=${calls}:${fault}`];
  return ['strace', '-f', '-qqq', '-o', '/dev/null', ...more, ...inject, '--'];
}

/** Environment in which all asynchronous file operations of Node.js are made by one thread. */
export const ONE_THREAD = { UV_THREADPOOL_SIZE: '1' };

/** Starts qcow2c; the child can be watched and sent signals (to qcow2c itself only without `under`). */
export function startCli(args: readonly string[], options: CliOptions = {}): Running {
  return start(...commandOf(args, options), options);
}

function commandOf(args: readonly string[], options: CliOptions): [command: string, args: string[]] {
  const node = [process.execPath, ...(options.nodeOptions ?? []), options.program ?? PROGRAM];
  const [command, ...rest] = [...(options.under ?? []), ...node, ...args];
  return [command!, rest];
}

/**
 * Runs qcow2c to its end: in this process if only the working directory is given, because a start of Node.js takes
 * longer than most commands. A word that needs a process of its own (a standard stream, bytes that are not UTF-8)
 * starts one.
 */
export function cli(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  const { cwd, pipe, ...others } = options;
  if (pipe !== undefined) return whileWriting(pipe, () => cli(args, { cwd, ...others }));
  const needsProcess =
    Object.values(others).some((value) => value !== undefined) ||
    args.some((word) => word === '-' || /\ufffd|\/dev\/(std|fd)|\/proc\/self/.test(word));
  return needsProcess ? spawnCli(args, options) : runHere(args, cwd);
}

/** Starts qcow2c as its own process and runs it to its end. */
export function spawnCli(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  return run(...commandOf(args, options), options);
}

/** Runs qcow2c, which must succeed without a word on stderr. @returns its standard output */
export async function cliOk(args: readonly string[], options: CliOptions = {}): Promise<string> {
  const outcome = await cli(args, options);
  if (outcome.status === 0 && outcome.stderr === '') return outcome.stdout;
  throw new Error(`qcow2c ${args.join(' ')}: ${JSON.stringify(outcome)}`);
}

/**
 * Root may read and write everything, which hides the errors that a user gets. This command runs another without that
 * right, so that permission bits apply to root too; for other users it changes nothing.
 */
export const UNPRIVILEGED: readonly string[] =
  process.getuid?.() === 0
    ? [
        'setpriv',
        '--inh-caps=-dac_override,-dac_read_search',
        '--bounding-set=-dac_override,-dac_read_search',
        '--',
      ]
    : [];
