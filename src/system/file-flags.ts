/** The flags of a file that keep even root from writing to it (chattr(1)), read with Linux's statx(2). */
import { endianness } from 'node:os';
import { bindCall, type SystemCall } from './libc.js';

const CURRENT_DIRECTORY = -100;
/** struct statx: its size and the offset of its attributes in bytes, and the attribute bits used here. */
const STATX_BYTES = 256;
const ATTRIBUTES_AT = 8;
const IMMUTABLE = 0x10n;
const APPEND_ONLY = 0x20n;

type FileFlag = 'immutable' | 'append-only';

let bound: Promise<SystemCall | undefined> | undefined;

/**
 * @param path of a file or directory; a symbolic link is followed
 * @returns the stronger flag that is set; undefined if none is set or the system does not tell
 * @throws Qcow2cError ERR_IO when no free descriptor is left to load koffi
 */
export async function flagOf(path: string): Promise<FileFlag | undefined> {
  bound ??= bindStatx().catch((error) => {
    bound = undefined;
    throw error;
  });
  const statx = await bound;
  const memory = new DataView(new ArrayBuffer(STATX_BYTES));
  const answer =
    statx?.(CURRENT_DIRECTORY, Buffer.from(`${path}\0`), 0, 0, new Uint8Array(memory.buffer)) ?? -1;
  if (answer < 0) return undefined;
  const attributes = memory.getBigUint64(ATTRIBUTES_AT, endianness() === 'LE');
  if ((attributes & IMMUTABLE) !== 0n) return 'immutable';
  return (attributes & APPEND_ONLY) !== 0n ? 'append-only' : undefined;
}

async function bindStatx(): Promise<SystemCall | undefined> {
  if (process.platform !== 'linux') return undefined;
  return bindCall('statx', 'int', ['int', 'void *', 'int', 'uint32', 'void *']);
}
