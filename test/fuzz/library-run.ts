/** Converts a mutant with the library and judges the outcome as far as that needs no other program. */
import * as fs from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { convert } from '../../src/convert/convert.js';
import type { ConvertOptions } from '../../src/convert/options.js';
import { Qcow2cError } from '../../src/errors.js';
import type { UnreadableRange } from '../../src/workers/unreadable-range.js';
import type { Mutant } from './mutant.js';
import { openedDuring } from './opened-files.js';
import type { Place, Workbench } from './workbench.js';

export type Outcome =
  | {
      readonly target: string;
      /** With salvage. */
      readonly lost: readonly UnreadableRange[];
      readonly error: undefined;
    }
  | { readonly target: undefined; readonly lost: undefined; readonly error: Qcow2cError };

/** Codes that no input may bring about. */
const DEFECTS = ['ERR_INTERNAL', 'ERR_WORKER', 'ERR_SOURCE_CHANGED', 'ERR_ENGINE', 'ERR_ABORTED'];
/** What every run reads of the system: the limits of its control groups. */
const OF_THE_SYSTEM = /^\/(proc\/self\/(mountinfo|cgroup)$|sys\/fs\/cgroup\/)/;
/** Codes of errors that are about a file, and name it. */
const OF_A_FILE = ['ERR_CORRUPT', 'ERR_FORMAT', 'ERR_IO', 'ERR_UNSUPPORTED'];
const TARGET = 'target';

/** @returns the outcome, and violations */
export async function convertMutant(
  mutant: Mutant,
  { base, image, given, out }: Place,
): Promise<{ readonly outcome: Outcome; readonly problems: readonly string[] }> {
  const directory = process.cwd();
  process.chdir(dirname(image));
  try {
    const { result: outcome, opened } = await openedDuring(() =>
      outcomeOf(optionsFor(mutant, base.clusterSize, base.compressionType, image, join(out, TARGET))),
    );
    const read = opened.map((path) => resolve(path)).filter((path) => dirname(path) !== out);
    const foreign = read.filter((path) => !given.has(path) && !OF_THE_SYSTEM.test(path));
    const left = fs.readdirSync(out).filter((name) => outcome.error !== undefined || name !== TARGET);
    return {
      outcome,
      problems: [
        ...(outcome.error === undefined ? [] : problemsOf(outcome.error)),
        ...(foreign.length > 0 ? [`read ${foreign.join(', ')}`] : []),
        ...(left.length > 0 ? [`left behind: ${left.join(', ')}`] : []),
      ],
    };
  } finally {
    process.chdir(directory);
  }
}

/** Reads the base images unchanged: this loads the engines and allocates the memory of a conversion. */
export async function warmUp(bench: Workbench): Promise<void> {
  for (const { name, refused } of bench.bases) {
    for (const target of ['raw', 'packed'] as const) {
      const valid: Mutant = {
        base: name,
        read: undefined,
        trust: 'stated',
        target,
        salvage: false,
        direct: false,
        mutations: [],
      };
      const { outcome } = await bench.inPlace(valid, (place) => convertMutant(valid, place));
      if ((outcome.error !== undefined) !== refused) throw new Error(`${name}: ${outcome.error}`);
    }
  }
}

async function outcomeOf(options: ConvertOptions): Promise<Outcome> {
  const lost: UnreadableRange[] = [];
  try {
    await convert({ ...options, onUnreadable: (range) => lost.push(range) });
    return { target: String(options.target), lost, error: undefined };
  } catch (error) {
    const known = error instanceof Qcow2cError;
    const stack = error instanceof Error ? error.stack : error;
    return {
      target: undefined,
      lost: undefined,
      error: known ? error : new Qcow2cError('ERR_INTERNAL', `no Qcow2cError: ${stack}`),
    };
  }
}

function problemsOf({ code, message, file }: Qcow2cError): string[] {
  if (DEFECTS.includes(code)) return [`${code}: ${message}`];
  return file === undefined && OF_A_FILE.includes(code) ? [`no file is named: ${message}`] : [];
}

function optionsFor(
  { trust, salvage, direct, read, target: kind }: Mutant,
  clusterSize: number,
  compressionType: 'zlib' | 'zstd',
  image: string,
  target: string,
): ConvertOptions {
  return {
    sources: [{ file: image, format: trust === 'guessed' ? undefined : 'qcow2' }],
    snapshot: read?.selector,
    isolated: trust === 'isolated',
    salvage,
    sourceCache: direct ? 'none' : 'writeback',
    target,
    targetFormat: kind === 'raw' ? 'raw' : 'qcow2',
    compress: kind === 'packed',
    create: kind === 'raw' ? {} : { clusterSize, compressionType },
    bitmaps: kind !== 'bitmaps' ? undefined : salvage ? 'skip-broken' : 'all',
    targetCache: 'unsafe',
    threads: 1,
  };
}
