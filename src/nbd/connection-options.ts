/** The options about NBD exports that every command takes. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ioError, quoted, usageError } from '../errors.js';

/** How exports are opened. Plain data. */
export interface NbdSettings {
  /** The directory with certificates (ca-cert.pem) or a pre-shared key (keys.psk) for TLS. */
  readonly tlsCreds?: TlsCredentials | undefined;
  /** Milliseconds of silence after which a server counts as lost. */
  readonly timeoutMs: number;
  /** How often a lost connection is re-established. */
  readonly retries: number;
}

type TlsCredentials =
  /** `hasOwn`: there is a certificate of the client, too, with its key: libnbd uses no other. */
  | { readonly kind: 'certificates'; readonly directory: string; readonly hasOwn: boolean }
  /** `user`: the first of the file, for URIs that name none. */
  | { readonly kind: 'psk'; readonly file: string; readonly user: string };

const DEFAULT_NBD_TIMEOUT = 60_000;
/** The longest silence that can be asked for: a day, in milliseconds. */
export const MOST_NBD_TIMEOUT = 86_400_000;
const DEFAULT_NBD_RETRIES = 3;
export const MOST_NBD_RETRIES = 1000;

export interface NbdOptions {
  /**
   * The directory with the files for TLS, named as QEMU and libnbd name them: `ca-cert.pem`, and `client-cert.pem` with
   * `client-key.pem` if the server asks for them; or `keys.psk`. With it every connection is encrypted. URIs that ask
   * for TLS (nbds:) need it.
   */
  readonly tlsCreds?: string | undefined;
  /** Milliseconds of silence after which a server counts as lost: 1 to 86 400 000. Default: 60 000. */
  readonly timeoutMs?: number | undefined;
  /** How often a lost connection is re-established before the operation fails: 0 to 1000. Default: 3. */
  readonly retries?: number | undefined;
  /** Follow names of NBD exports that an image stores, of its backing file or data file. Default: false. */
  readonly allowBacking?: boolean | undefined;
}

/** @throws Qcow2cError ERR_IO, ERR_USAGE if the directory does not hold the files */
export async function nbdSettings({ tlsCreds, timeoutMs, retries }: NbdOptions = {}): Promise<NbdSettings> {
  return {
    tlsCreds: tlsCreds === undefined ? undefined : await credentialsIn(tlsCreds),
    timeoutMs: timeoutMs ?? DEFAULT_NBD_TIMEOUT,
    retries: retries ?? DEFAULT_NBD_RETRIES,
  };
}

/** The name before the first colon of a file of pre-shared keys. */
async function firstUser(file: string): Promise<string> {
  const text = await readFile(file, 'utf8').catch((error) => {
    throw ioError(`Could not open ${quoted(file)}`, error, { file });
  });
  const user = /^([^:#\n]+):/m.exec(text)?.[1];
  if (user !== undefined) return user;
  throw usageError(`${quoted(file)} (--tls-creds) has no key: a line with one is USER:KEY`, { file });
}

async function credentialsIn(directory: string): Promise<TlsCredentials> {
  const exists = async (file: string) => {
    try {
      await stat(file);
      return true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
      throw ioError(`Could not open ${quoted(file)}`, error, { file });
    }
  };
  const keys = join(directory, 'keys.psk');
  if (await exists(keys)) return { kind: 'psk', file: keys, user: await firstUser(keys) };
  if (await exists(join(directory, 'ca-cert.pem'))) {
    const own = await Promise.all(
      ['client-cert.pem', 'client-key.pem'].map((file) => exists(join(directory, file))),
    );
    return { kind: 'certificates', directory, hasOwn: own.every((isThere) => isThere) };
  }
  throw usageError(`${quoted(directory)} (--tls-creds) has neither ca-cert.pem nor keys.psk`, {
    file: directory,
    expected: 'ca-cert.pem or keys.psk',
  });
}
