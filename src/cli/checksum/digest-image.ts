/** Computes the digest of one image for `checksum`. */
import type { ChecksumOptions, ChecksumResult } from '../../checksum/options.js';
import { Qcow2cError, quoted } from '../../errors.js';
import type { CommandIo } from '../command-io.js';
import { failureText } from '../failure.js';
import { longRun, type RunHooks } from '../long-run.js';
import type { QapiObject } from '../options/qapi-object.js';
import { warn } from '../progress/notice.js';
import { type ChecksumRequest, checksumOptions } from './request.js';

/** Includes the library functions, so that tests can replace them. */
export interface ChecksumIo extends CommandIo {
  readonly checksum: (options: ChecksumOptions) => Promise<ChecksumResult>;
}

/** The outcome for one image: its result, why it could not be read, or the exit code of a signal. */
export type Outcome =
  | { readonly result: ChecksumResult }
  | { readonly error: Qcow2cError }
  | { readonly exitCode: number };

/** An error for JSON. */
export function errorObject({ code, message }: Qcow2cError): QapiObject {
  return { code, message };
}

/**
 * Computes the digest of one image, and prints why it could not be read.
 * @param name as typed or listed
 * @throws an error that is no fault of the image
 */
export async function digestImage(
  name: string,
  { words, progress }: ChecksumRequest,
  io: ChecksumIo,
): Promise<Outcome> {
  const { stderr } = io;
  try {
    const options = checksumOptions(name, words);
    // Standard output is for the digests only; progress goes to standard error.
    const withoutStdout = { ...io, stdout: stderr };
    const run = (hooks: RunHooks) =>
      io.checksum({ ...options, ...hooks, onWarning: (message) => warn(stderr, message) });
    const describe = ({ digest }: ChecksumResult) => ({ filename: name, digest });
    return await longRun(`Checksum of ${quoted(name)}`, progress, withoutStdout, run, { describe });
  } catch (error) {
    if (!(error instanceof Qcow2cError) || error.code === 'ERR_INTERNAL') throw error;
    if (words.ignoreMissing && error.systemCode === 'ENOENT') return { error };
    const debug = words.debug === true || process.env['QCOW2C_DEBUG'] === '1';
    stderr.write(failureText(error, debug));
    return { error };
  }
}
