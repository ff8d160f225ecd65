/** Turns the text of checksum's options into requests of the library. Pure; used by the parser. */
import type { ChecksumOptions } from '../../checksum/options.js';
import { usageError } from '../../errors.js';
import { readCacheMode } from '../options/cache-option.js';
import { readImageArgument } from '../options/image-argument.js';
import { sourceFormatOf } from '../options/image-formats.js';
import { type NbdWords, nbdOptions } from '../options/nbd-options.js';
import { refuseObject } from '../options/object-option.js';
import { progressStyle } from '../options/progress-option.js';
import { readSnapshot } from '../options/snapshot-option.js';
import { type WorkerBudgetWords, workerBudgetOptions } from '../options/worker-budget-options.js';
import type { ProgressStyle } from '../progress/progress-display.js';

/** The options as typed, by the last of their names (see the table). */
interface ChecksumWords extends WorkerBudgetWords, NbdWords {
  readonly format?: string;
  readonly imageOpts?: boolean;
  readonly snapshot?: string;
  readonly isolated?: boolean;
  readonly cache?: string;
  readonly forceShare?: boolean;
  readonly object?: string;
  readonly check?: boolean;
  readonly ignoreMissing?: boolean;
  readonly status?: boolean;
  readonly strict?: boolean;
  readonly warn?: boolean;
  readonly output?: 'human' | 'json';
  /** -p */
  readonly p?: boolean;
  readonly progress?: ProgressStyle;
  readonly quiet?: boolean;
  readonly debug?: boolean;
}

export interface ChecksumRequest {
  readonly kind: 'checksum';
  /** Images; with `check`, lists. As typed. */
  readonly files: readonly string[];
  readonly words: ChecksumWords;
  readonly output: 'human' | 'json';
  readonly progress: ProgressStyle;
}

/** The name of standard input; a file of that name is './-'. */
export const STANDARD_INPUT = '-';

/** @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED for options that are wrong for every image */
export function readChecksumWords(files: readonly string[], words: ChecksumWords): ChecksumRequest {
  refuseObject(words.object);
  if (!words.check) {
    const [only] = Object.entries({
      '--ignore-missing': words.ignoreMissing,
      '--status': words.status,
      '--strict': words.strict,
      '--warn': words.warn,
    }).find(([, given]) => given) ?? [undefined];
    if (only !== undefined) throw usageError(`${only} requires --check`);
    if (files.length === 0)
      throw usageError("Expecting one or more image file names ('-' is standard input)");
  }
  if (words.format !== undefined) sourceFormatOf(words.format);
  commonOptions(words);
  return {
    kind: 'checksum',
    files: words.check && files.length === 0 ? [STANDARD_INPUT] : files,
    words,
    output: words.output ?? 'human',
    progress: words.status ? 'none' : progressStyle(words),
  };
}

/**
 * @param name of one image, as typed or listed
 * @throws Qcow2cError ERR_USAGE or ERR_UNSUPPORTED for a name that cannot be opened
 */
export function checksumOptions(name: string, words: ChecksumWords): ChecksumOptions {
  const options = commonOptions(words);
  if (name !== STANDARD_INPUT || words.imageOpts)
    return { ...options, source: readImageArgument(name, words) };
  const { format, forceShare: _ } = words;
  return {
    ...options,
    source: { stream: 0, name: 'standard input' },
    sourceFormat: format === undefined ? undefined : sourceFormatOf(format),
  };
}

function commonOptions(words: ChecksumWords): Omit<ChecksumOptions, 'source'> {
  return {
    snapshot: words.snapshot === undefined ? undefined : readSnapshot(words.snapshot),
    isolated: words.isolated,
    cache: readCacheMode('source cache', words.cache),
    ...workerBudgetOptions(words),
    ...nbdOptions(words),
  };
}
