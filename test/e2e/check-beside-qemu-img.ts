/** Checks the same image with qemu-img and with `check` of this checkout, and returns both results. */
import { EventEmitter } from 'node:events';
import { basename, dirname } from 'node:path';
import { checkWith } from '../../src/check/check.js';
import { checkCommand } from '../../src/cli/check/command.js';
import { type CheckWords, readCheckWords } from '../../src/cli/check/request.js';
import { failureText } from '../../src/cli/failure.js';
import { RecordedOutput } from '../cli/recorded-output.js';
import { withoutOwnWarnings } from '../oracle/own-warnings.js';
import { run } from '../oracle/run.js';

/** Threads run no TypeScript: the worker is the one that `npm run build` made. */
const BUILT_WORKER = new URL('../../dist/worker.cjs', import.meta.url);

export interface Verdict {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `qcow2c check` does, in this process. */
export async function ourCheck(image: string, words: CheckWords): Promise<Verdict> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const io = { stdout, stderr, process: new EventEmitter(), now: () => 0 };
  let status = 1;
  try {
    const request = readCheckWords([image], words);
    status = await checkCommand(request, {
      ...io,
      check: (options) => checkWith(options, BUILT_WORKER),
    });
  } catch (error) {
    stderr.write(failureText(error, false));
  }
  return { status, stdout: stdout.text, stderr: stderr.text };
}

/** What `qemu-img check` does; it finds data files by their names in the image's directory. */
export async function theirCheck(image: string, args: readonly string[]): Promise<Verdict> {
  const { status, stdout, stderr } = await run('qemu-img', ['check', ...args, basename(image)], {
    cwd: dirname(image),
  });
  return { status, stdout, stderr };
}

/** That bitmaps were given up; qemu-img's has no line end behind it. */
const STALE_BITMAPS =
  /^[a-z0-9-]+: warning: a program lacking bitmap support modified .*?(\n.*'qemu-img check -r' on the image file to fix\.|\n)/;

/**
 * Takes away what must differ:
 * - the program's name, and the directory, in which only qemu-img runs;
 * - the words of the one warning that both have, and the one that only qcow2c has;
 * - of a check that could not be made or not to its end, the words for why: qcow2c's name the file and the place.
 */
export function comparable({ status, stdout, stderr }: Verdict, image: string): Verdict {
  const lines = withoutOwnWarnings(stderr)
    .replace(STALE_BITMAPS, '')
    .split('\n')
    .map((line) => line.replace(/^(qcow2c|qemu-img): /, ''));
  const shown = status === 1 && !stdout.includes('internal errors') ? [] : lines;
  const file = JSON.stringify(image).slice(1, -1);
  return { status, stdout: stdout.replaceAll(file, basename(image)), stderr: shown.join('\n') };
}
