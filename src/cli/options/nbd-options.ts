/** Reads the options about NBD exports, which every command that reads images has. */
import { usageError } from '../../errors.js';
import { MOST_NBD_RETRIES, MOST_NBD_TIMEOUT, type NbdOptions } from '../../nbd/connection-options.js';
import { parseInteger } from './numbers.js';
import type { OptionRow } from './option-table.js';

/** The options as typed. */
export interface NbdWords {
  readonly tlsCreds?: string;
  readonly nbdTimeout?: string;
  readonly nbdRetries?: string;
  readonly allowNbdBacking?: boolean;
}

export const NBD_OPTIONS: readonly OptionRow[] = [
  {
    flags: ['--tls-creds'],
    argument: 'DIR',
    completes: 'file',
    help: 'encrypt NBD connections with files in DIR: ca-cert.pem (with client-cert.pem and client-key.pem if the server asks for them), or keys.psk',
  },
  {
    flags: ['--nbd-timeout'],
    argument: 'SECONDS',
    help: 'fail if an NBD server sends nothing for this time (default: 60)',
  },
  {
    flags: ['--nbd-retries'],
    argument: 'N',
    help: 'attempts to reconnect to an NBD server after a lost connection (default: 3)',
  },
  {
    flags: ['--allow-nbd-backing'],
    help: 'follow names of NBD exports in images, as backing and data files (by default they are refused)',
  },
];

const MOST_SECONDS = MOST_NBD_TIMEOUT / 1000;

/** @throws Qcow2cError ERR_USAGE */
export function nbdOptions(words: NbdWords): { readonly nbd?: NbdOptions } {
  const { tlsCreds, nbdTimeout, nbdRetries, allowNbdBacking } = words;
  if ([tlsCreds, nbdTimeout, nbdRetries, allowNbdBacking].every((word) => word === undefined)) return {};
  return {
    nbd: {
      tlsCreds,
      timeoutMs: nbdTimeout === undefined ? undefined : readTimeout(nbdTimeout),
      retries: nbdRetries === undefined ? undefined : readRetries(nbdRetries),
      allowBacking: allowNbdBacking,
    },
  };
}

/** @returns milliseconds */
function readTimeout(text: string): number {
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (seconds > 0 && seconds <= MOST_SECONDS) return Math.max(1, Math.round(seconds * 1000));
  throw usageError(
    `Invalid NBD timeout '${text}'. It must be a number of seconds above 0 and up to ${MOST_SECONDS}`,
  );
}

function readRetries(text: string): number {
  const retries = parseInteger(text);
  if (typeof retries === 'number' && retries >= 0 && retries <= MOST_NBD_RETRIES) return retries;
  throw usageError(`Invalid number of NBD retries '${text}'. It must be from 0 to ${MOST_NBD_RETRIES}`);
}
