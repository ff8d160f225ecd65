/** Runs `compare` in this process and with qemu-img, for comparison. */
import { EventEmitter } from 'node:events';
import { inject } from 'vitest';
import { compareCommand } from '../../src/cli/compare/command.js';
import { type CompareWords, readCompareWords } from '../../src/cli/compare/request.js';
import { compareWith } from '../../src/compare/compare.js';
import type { CompareOptions } from '../../src/compare/options.js';
import { RecordedOutput } from '../cli/recorded-output.js';
import { withoutOwnWarnings } from '../oracle/own-warnings.js';
import { run } from '../oracle/run.js';

const notBuilt = inject('notBuilt');
if (notBuilt !== undefined) throw new Error(notBuilt);

/** Threads run no TypeScript: the worker is the one that `npm run build` made. */
const WORKER = new URL('../../dist/worker.cjs', import.meta.url);

/** Compares with this checkout's code. */
export const compareHere = (options: CompareOptions) => compareWith(options, WORKER);

/** Two images and how they are to be compared. */
export interface Comparison {
  readonly files: readonly [string, string];
  readonly words: CompareWords;
}

interface Said {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** As main.ts runs it. */
export async function ourCompare({ files, words }: Comparison): Promise<Said> {
  const [stdout, stderr] = [new RecordedOutput(), new RecordedOutput()];
  const io = { stdout, stderr, process: new EventEmitter(), now: () => 0, compare: compareHere };
  const status = await compareCommand(readCompareWords(files, words), io);
  return { status, stdout: stdout.text, stderr: stderr.text };
}

/** What qemu-img does with the same words. */
export async function theirCompare({ files, words }: Comparison): Promise<Said> {
  const { aFormat, bFormat, strict, quiet } = words;
  const formats = Object.entries({ f: aFormat, F: bFormat }).flatMap(([letter, format]) =>
    format === undefined ? [] : [`-${letter}`, format],
  );
  const flags = [...(strict ? ['-s'] : []), ...(quiet ? ['-q'] : [])];
  const { status, stdout, stderr } = await run('qemu-img', ['compare', ...formats, ...flags, ...files]);
  return { status, stdout, stderr };
}

/**
 * The comparable part of both outputs: without the programs' names and the reasons at the end of error lines. qemu-img
 * gives only the system error there; qcow2c also names the offset in the file.
 */
export function comparable({ status, stdout, stderr }: Said): Said {
  const lines = withoutOwnWarnings(stderr)
    .split('\n')
    .filter((line) => /^(qcow2c|qemu-img): /.test(line));
  const errors = lines.map((line) =>
    line
      .replace(/^\S+: /, '')
      .replace(/^(Sector allocation test failed for \S+?|Error while reading offset \d+ of \S+?):? .*/, '$1')
      .replace(/:$/, ''),
  );
  return { status, stdout, stderr: errors.join('\n') };
}
