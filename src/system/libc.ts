/**
 * The C library's calls that Node.js lacks, made through koffi: fallocate(2), lseek(2), the locks of fcntl(2),
 * _exit(2), and others by name (`bindCall`). Without koffi or the call, functions for one call return ENOSYS, and
 * functions that bind a call return undefined.
 */
import { endianness } from 'node:os';
import { getSystemErrorName } from 'node:util';
import { ioError } from '../errors.js';
import { type Koffi, lacksDescriptor, loadKoffi } from './koffi.js';

/** Mode of fallocate: allocate blocks, keep the content, and lengthen the file if needed. */
export const ALLOCATE = 0;
/** Mode of fallocate: the same without changing the length. */
export const ALLOCATE_KEEPING_LENGTH = 0x01;
/** Mode of fallocate: free blocks, which then read as zeros, and keep the length. */
export const PUNCH_HOLE = 0x01 | 0x02;

/** Linux's open file description locks: fcntl's commands, and the constants of struct flock with 64-bit offsets. */
const OFD_GET = 36;
const OFD_SET = 37;
const READ_LOCK = 0;
const WRITE_LOCK = 1;
const UNLOCKED = 2;
const FLOCK_BYTES = 32;
const hasLocks =
  process.platform === 'linux' && ['x64', 'arm64', 'riscv64', 's390x', 'ppc64'].includes(process.arch);

/** Whether the machine passes variable arguments like fixed ones. */
const takesThreeArguments = hasLocks && ['x64', 'arm64', 'riscv64'].includes(process.arch);

/** The number is the same on all systems. */
const EINTR = 4;
const ENOSYS = process.platform === 'darwin' ? 78 : 38;
const isLittle = endianness() === 'LE';

type Bound = ReturnType<ReturnType<Koffi['load']>['func']>;

interface LibC {
  readonly koffi: Koffi;
  /** Binds a call by its name, with its types in koffi's notation; undefined if the C library lacks it. */
  readonly find: (name: string, result: string, parameters: string[]) => Bound | undefined;
  readonly fallocate: Bound | undefined;
  readonly lseek: Bound | undefined;
  readonly fcntl: Bound | undefined;
  /** fcntl without variable arguments, which koffi does not support on another thread. */
  readonly lock: Bound | undefined;
}

let loaded: LibC | undefined;
let isMissing = false;

/**
 * @returns undefined without koffi
 * @throws Qcow2cError ERR_IO when no free descriptor is left to load it: without koffi no lock would be taken
 */
function load(): LibC | undefined {
  if (loaded !== undefined || isMissing) return loaded;
  try {
    loaded = bind(loadKoffi());
  } catch (error) {
    if (lacksDescriptor(error)) throw ioError('Could not load the package koffi', error);
    isMissing = true;
  }
  return loaded;
}

function bind(koffi: Koffi): LibC {
  const loaded = koffi.load(null);
  // With 64-bit offsets; on 32-bit machines only glibc's calls with this suffix have them.
  const find = (name: string, result: string, parameters: string[]): Bound | undefined => {
    for (const symbol of [`${name}64`, name]) {
      try {
        return loaded.func(symbol, result, parameters);
      } catch {
        // This C library lacks the call.
      }
    }
    return undefined;
  };
  return {
    koffi,
    find,
    fallocate: find('fallocate', 'int', ['int', 'int', 'int64', 'int64']),
    lseek: find('lseek', 'int64', ['int', 'int64', 'int']),
    fcntl: hasLocks ? loaded.func('int fcntl(int, int, ...)') : undefined,
    lock: takesThreeArguments ? find('fcntl', 'int', ['int', 'int', 'void *']) : undefined,
  };
}

/** Makes a call. @returns its result, or the negative number of the error */
export type SystemCall = (...parameters: readonly (number | string | Uint8Array)[]) => number;

/**
 * Binds a call that returns an integer, and -1 for an error. koffi never frees a binding, so bind a call once only.
 * @param name of the call
 * @param result its type in koffi's notation
 * @param parameters their types in koffi's notation
 * @returns undefined without koffi, or if the C library lacks the call
 * @throws Qcow2cError ERR_IO as `load`
 */
export async function bindCall(
  name: string,
  result: string,
  parameters: string[],
): Promise<SystemCall | undefined> {
  const libc = load();
  const call = libc?.find(name, result, parameters);
  if (libc === undefined || call === undefined) return undefined;
  return (...given) => {
    const answer = Number(call(...given));
    // No code in between may make a system call: errno belongs to the thread.
    return answer < 0 ? -libc.koffi.errno() : answer;
  };
}

/** As `SystemCall`, made on another thread. */
export type AsyncSystemCall = (...parameters: readonly (number | Uint8Array)[]) => Promise<number>;

/** As `bindCall`, for a call that may block. */
export async function bindAsyncCall(
  name: string,
  result: string,
  parameters: string[],
): Promise<AsyncSystemCall | undefined> {
  const libc = load();
  const call = libc?.find(name, result, parameters);
  if (libc === undefined || call === undefined) return undefined;
  return (...given) =>
    onAnotherThread(call, given, (answer) => (answer < 0 ? -libc.koffi.errno() : Number(answer)));
}

/**
 * Allocates or frees a part of a file, or frees a part of a device, on another thread: it takes seconds if the file
 * system or device has to write.
 * @param mode ALLOCATE or PUNCH_HOLE
 * @param offset bytes
 * @param length bytes
 * @returns undefined on success, or the error; any part of the range may be changed then
 */
export async function fallocate(
  descriptor: number,
  mode: number,
  offset: number,
  length: number,
): Promise<NodeJS.ErrnoException | undefined> {
  const libc = load();
  const call = libc?.fallocate;
  if (libc === undefined || call === undefined) return systemError(ENOSYS);
  for (;;) {
    const errno = await onAnotherThread(call, [descriptor, mode, offset, length], (result) =>
      result === 0 ? 0 : libc.koffi.errno(),
    );
    if (errno === 0) return undefined;
    if (errno !== EINTR) return systemError(errno);
  }
}

/** koffi refuses more than 256 asynchronous calls at once. Node.js runs four of them at once. */
const MOST_CALLS = 128;
let runningCalls = 0;
const waitingCalls: (() => void)[] = [];

/** @param outcome converts the result of the call: koffi keeps the call's errno only until it returns */
async function onAnotherThread(
  call: Bound,
  parameters: readonly unknown[],
  outcome: (returned: number | bigint) => number,
): Promise<number> {
  if (runningCalls >= MOST_CALLS) await new Promise<void>((resolve) => waitingCalls.push(resolve));
  else runningCalls += 1;
  try {
    return await new Promise((resolve, reject) => {
      call.async(...parameters, (error: unknown, returned: number | bigint) => {
        if (error === null) resolve(outcome(returned));
        else reject(error);
      });
    });
  } finally {
    // The next call takes over the slot of this one, so the number stays.
    const next = waitingCalls.shift();
    if (next === undefined) runningCalls -= 1;
    else next();
  }
}

/** lseek(2). Both functions return the new offset in bytes, or the negative number of the error. */
export interface Lseek {
  now(descriptor: number, offset: number, whence: number): number;
  /** Calls lseek on another thread, for file systems that may be slow. */
  later(descriptor: number, offset: number, whence: number): Promise<number>;
}

/**
 * @returns undefined without koffi, or if the C library lacks the call
 * @throws Qcow2cError ERR_IO as `load`
 */
export async function loadLseek(): Promise<Lseek | undefined> {
  const libc = load();
  const call = libc?.lseek;
  if (libc === undefined || call === undefined) return undefined;
  // No code between the call and koffi.errno() may make a system call: errno belongs to the thread.
  const outcome = (reached: number | bigint) => (reached < 0 ? -libc.koffi.errno() : Number(reached));
  return {
    now: (descriptor, offset, whence) => outcome(call(descriptor, offset, whence)),
    later: (descriptor, offset, whence) => onAnotherThread(call, [descriptor, offset, whence], outcome),
  };
}

/**
 * Locks one byte of an open file until the file is closed. Does not wait.
 * @param exclusive no other lock may be on the byte; false: no other exclusive lock
 * @returns undefined on success, or the error: EAGAIN or EACCES if another process holds a conflicting lock
 */
export async function lockByte(
  descriptor: number,
  byte: number,
  exclusive: boolean,
): Promise<NodeJS.ErrnoException | undefined> {
  const lock = flock(exclusive ? WRITE_LOCK : READ_LOCK, byte);
  const errno = await callFcntl(descriptor, OFD_SET, lock);
  return errno === 0 ? undefined : systemError(errno);
}

/**
 * @returns whether another open file, also one of this process, has a lock on the byte; undefined if the system does
 *   not tell
 */
export async function isByteLocked(descriptor: number, byte: number): Promise<boolean | undefined> {
  const lock = flock(WRITE_LOCK, byte);
  if ((await callFcntl(descriptor, OFD_GET, lock)) !== 0) return undefined;
  return typeOf(lock) !== UNLOCKED;
}

/** struct flock: type and whence (16 bits each), start and length (64 bits each, aligned), process. */
function flock(type: number, byte: number): DataView {
  const view = new DataView(new ArrayBuffer(FLOCK_BYTES));
  view.setInt16(0, type, isLittle);
  view.setBigInt64(8, BigInt(byte), isLittle);
  view.setBigInt64(16, 1n, isLittle);
  return view;
}

function typeOf(lock: DataView): number {
  return lock.getInt16(0, isLittle);
}

async function callFcntl(descriptor: number, command: number, lock: DataView): Promise<number> {
  const libc = load();
  if (libc?.fcntl === undefined) return ENOSYS;
  const memory = new Uint8Array(lock.buffer);
  const outcome = (result: number | bigint) => (result === 0 ? 0 : libc.koffi.errno());
  for (;;) {
    // On another thread if possible, because a network file system asks its server.
    const errno =
      libc.lock === undefined
        ? outcome(libc.fcntl(descriptor, command, 'void *', memory))
        : await onAnotherThread(libc.lock, [descriptor, command, memory], outcome);
    if (errno !== EINTR) return errno;
  }
}

/** @param errno the number of a system error, above 0 */
export function systemError(errno: number): NodeJS.ErrnoException {
  const code = getSystemErrorName(-errno);
  return Object.assign(new Error(code), { errno: -errno, code });
}

/**
 * Ends the process at once with _exit(2), even while threads are in calls that hang; process.exit would wait for them.
 * No 'exit' handlers run and no output is flushed. Returns only without koffi.
 */
export function exitAtOnce(code: number): void {
  try {
    loadKoffi().load(null).func('_exit', 'void', ['int'])(code);
  } catch {
    // The caller then ends the process in another way.
  }
}
