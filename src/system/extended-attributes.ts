/**
 * Extended attributes of open files (xattr(7)). Linux stores access control lists and security labels in them, and
 * Node.js cannot read them. Called through koffi, on Linux only.
 */
import { constants } from 'node:os';
import { bindCall, type SystemCall, systemError } from './libc.js';

/** The largest value, and the longest list of names, in Linux (XATTR_SIZE_MAX, XATTR_LIST_MAX), in bytes. */
const LARGEST = 65_536;
const { EOPNOTSUPP, ENODATA } = constants.errno;

export interface ExtendedAttributes {
  /** @returns undefined when the file has no such attribute @throws the system's error */
  get(descriptor: number, name: string): Buffer | undefined;
  /** @throws the system's error */
  set(descriptor: number, name: string, value: Uint8Array): void;
  /** Does nothing when the file has no such attribute. @throws the system's error */
  remove(descriptor: number, name: string): void;
  /** @returns the names that this process may see, one character for each byte @throws the system's error */
  list(descriptor: number): string[];
}

let loaded: Promise<ExtendedAttributes | undefined> | undefined;

/**
 * @returns undefined on systems where they cannot be read
 * @throws Qcow2cError ERR_IO when no free descriptor is left to load koffi
 */
export function loadExtendedAttributes(): Promise<ExtendedAttributes | undefined> {
  loaded ??= bind().catch((error) => {
    loaded = undefined;
    throw error;
  });
  return loaded;
}

async function bind(): Promise<ExtendedAttributes | undefined> {
  // macOS has calls of these names with other parameters.
  if (process.platform !== 'linux') return undefined;
  const get = await bindCall('fgetxattr', 'int64', ['int', 'void *', 'void *', 'uint64']);
  const set = await bindCall('fsetxattr', 'int', ['int', 'void *', 'void *', 'uint64', 'int']);
  const remove = await bindCall('fremovexattr', 'int', ['int', 'void *']);
  const list = await bindCall('flistxattr', 'int64', ['int', 'void *', 'uint64']);
  if (get === undefined || set === undefined || remove === undefined || list === undefined) return undefined;
  return withCalls({ get, set, remove, list });
}

function withCalls(
  calls: Readonly<Record<'get' | 'set' | 'remove' | 'list', SystemCall>>,
): ExtendedAttributes {
  const read = (call: (memory: Uint8Array) => number): Buffer | undefined => {
    const memory = Buffer.alloc(LARGEST);
    const length = call(memory);
    if (length >= 0) return memory.subarray(0, length);
    // A file system without such attributes has none with this name.
    if (length === -ENODATA || length === -EOPNOTSUPP) return undefined;
    throw systemError(-length);
  };
  return {
    get: (descriptor, name) => read((memory) => calls.get(descriptor, cString(name), memory, LARGEST)),
    set: (descriptor, name, value) => {
      const answer = calls.set(descriptor, cString(name), value, value.length, 0);
      if (answer < 0) throw systemError(-answer);
    },
    remove: (descriptor, name) => {
      const answer = calls.remove(descriptor, cString(name));
      if (answer < 0 && answer !== -ENODATA && answer !== -EOPNOTSUPP) throw systemError(-answer);
    },
    list: (descriptor) => {
      const names = read((memory) => calls.list(descriptor, memory, LARGEST));
      return names === undefined ? [] : names.toString('latin1').split('\0').slice(0, -1);
    },
  };
}

function cString(name: string): Buffer {
  return Buffer.from(`${name}\0`, 'latin1');
}
