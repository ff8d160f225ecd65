/**
 * The calls of the C library that Node.js lacks, made through koffi: fallocate(2) and lseek(2), for the
 * direct file and the target. Where koffi or the call is missing the answer is ENOSYS; nothing else fails.
 */
import { getSystemErrorName } from 'node:util';

/** Modes of fallocate: allocate and keep the content; free, which makes zeros, and keep the length. */
export const ALLOCATE = 0;
export const PUNCH_HOLE = 0x01 | 0x02;

const SEEK_END = 2;
/** Their numbers are the same on every system. */
const EINTR = 4;
const ENOSYS = process.platform === 'darwin' ? 78 : 38;

type Koffi = typeof import('koffi');
type Bound = ReturnType<ReturnType<Koffi['load']>['func']>;

interface LibC {
  readonly koffi: Koffi;
  readonly fallocate: Bound | undefined;
  readonly lseek: Bound | undefined;
}

let loaded: Promise<LibC | undefined> | undefined;

function load(): Promise<LibC | undefined> {
  loaded ??= import('koffi').then(bind).catch(() => undefined);
  return loaded;
}

function bind(koffi: Koffi): LibC {
  const loaded = koffi.load(null);
  // With 64-bit offsets, which on 32-bit machines only glibc's calls of this ending have.
  const find = (name: string, result: string, parameters: string[]): Bound | undefined => {
    for (const symbol of [`${name}64`, name]) {
      try {
        return loaded.func(symbol, result, parameters);
      } catch {
        // Not in this C library.
      }
    }
    return undefined;
  };
  return {
    koffi,
    fallocate: find('fallocate', 'int', ['int', 'int', 'int64', 'int64']),
    lseek: find('lseek', 'int64', ['int', 'int64', 'int']),
  };
}

/**
 * Allocates or frees a part of a file, or frees that of a device, on another thread: it takes seconds
 * where a file system or device has to write.
 * @param mode ALLOCATE or PUNCH_HOLE
 * @param offset bytes
 * @param length bytes
 * @returns undefined when it was done, else the reason; then any part of the range may have been treated
 */
export async function fallocate(
  descriptor: number,
  mode: number,
  offset: number,
  length: number,
): Promise<NodeJS.ErrnoException | undefined> {
  const libc = await load();
  const call = libc?.fallocate;
  if (libc === undefined || call === undefined) return systemError(ENOSYS);
  for (;;) {
    const errno = await new Promise<number>((resolve, reject) => {
      // koffi shows the errno of the call's own thread only until the callback returns.
      call.async(descriptor, mode, offset, length, (error: unknown, result: number) => {
        if (error === null) resolve(result === 0 ? 0 : libc.koffi.errno());
        else reject(error);
      });
    });
    if (errno === 0) return undefined;
    if (errno !== EINTR) return systemError(errno);
  }
}

/** @returns the offset of the end in bytes, on Linux also a device's; undefined when it cannot be had */
export async function seekEnd(descriptor: number): Promise<number | undefined> {
  const end: unknown = (await load())?.lseek?.(descriptor, 0, SEEK_END);
  return typeof end === 'number' && end >= 0 ? end : undefined;
}

function systemError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(code), { errno: -errno, code });
}
