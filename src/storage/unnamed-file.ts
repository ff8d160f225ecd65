/** Files without a name: the system frees them when they are closed, even by a crash. */
import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { type ErrorFacts, ioError, quoted } from '../errors.js';
import { crypto } from '../system/late-modules.js';
import { ReadError, readFully } from '../system/read-fully.js';

/** Linux's O_TMPFILE, which Node.js does not name. */
const UNNAMED = process.platform === 'linux' ? 0o20000000 | constants.O_DIRECTORY : undefined;
const OWNER_ONLY = 0o600;

/**
 * Opens a new file without a name for reading and writing.
 * @param directory the file system that holds it
 * @throws Qcow2cError ERR_IO
 */
export async function openUnnamedFile(directory: string): Promise<FileHandle> {
  try {
    return (await openUnnamed(directory)) ?? (await openUnlinked(directory));
  } catch (error) {
    throw ioError(`Could not create a temporary file in ${quoted(directory)}`, error, { file: directory });
  }
}

/** @returns undefined if the file system has no files without a name */
async function openUnnamed(directory: string): Promise<FileHandle | undefined> {
  if (UNNAMED === undefined) return undefined;
  try {
    return await open(directory, constants.O_RDWR | UNNAMED, OWNER_ONLY);
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    // EISDIR: a kernel that does not know the flag.
    if (['EOPNOTSUPP', 'ENOTSUP', 'EISDIR', 'EINVAL'].includes(code)) return undefined;
    throw error;
  }
}

async function openUnlinked(directory: string): Promise<FileHandle> {
  const path = join(directory, `.${crypto().randomBytes(8).toString('hex')}.qcow2c.tmp`);
  const file = await open(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, OWNER_ONLY);
  await unlink(path);
  return file;
}

/**
 * Fills `into` with bytes that were written before.
 * @param offset bytes
 * @param what the operation and its file, for the error
 * @throws Qcow2cError ERR_IO, also when the file ends before
 */
export async function readBack(
  file: FileHandle,
  offset: number,
  into: Uint8Array,
  what: string,
  facts: ErrorFacts,
): Promise<void> {
  try {
    const found = await readFully(file.fd, into, offset);
    if (found < into.length) throw new Error(`only ${found} of ${into.length} bytes are there`);
  } catch (error) {
    throw ioError(what, error instanceof ReadError ? error.cause : error, facts);
  }
}
