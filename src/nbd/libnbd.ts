/**
 * Loads libnbd, the client library of the NBD project, through koffi: once in each thread, and only when a name asks for
 * an NBD export. Every call that is bound here returns at once, except `poll`, which has a limit.
 */
import { Qcow2cError } from '../errors.js';
import { type Koffi, loadKoffi } from '../system/koffi.js';
import { fileOfSymbol } from '../system/loaded-file.js';
import { Listeners, type Listening } from './callbacks.js';

/** Names of libnbd for the loader: runtime, development, macOS. */
const NAMES = ['libnbd.so.0', 'libnbd.so', 'libnbd.0.dylib', '/opt/homebrew/lib/libnbd.0.dylib'];

/** The address of a libnbd handle. */
export type HandleAddress = bigint;

type Call = (...values: readonly unknown[]) => number | bigint;

/** The extents of one reply: pairs of length and flags. */
export type Extents = ArrayLike<number> | ArrayLike<bigint>;

/** Receives the extents of one meta context, whose memory is libnbd's again when it returns. */
export type ExtentListener = (context: string, extents: Extents) => void;

/** Receives a name and its description. */
type NameListener = (name: string, description: string) => void;

/** libnbd's words for the last error of this thread, and the system's number of it (0: none). */
export interface LibraryError {
  readonly message: string;
  readonly errno: number;
}

export interface Libnbd {
  /** The loaded file if the system reports it, otherwise its name. */
  readonly file: string;
  readonly version: string;
  readonly create: () => HandleAddress;
  readonly close: (handle: HandleAddress) => void;
  readonly error: () => LibraryError;
  /** @returns the handshake of a connected handle: `oldstyle`, `newstyle` or `newstyle-fixed` */
  readonly protocol: (handle: HandleAddress) => string;
  /** @returns the call of this name, which takes a handle first; -1 is an error */
  readonly call: (name: CallName) => Call;
  /** @returns whether this libnbd has the call */
  readonly has: (name: CallName) => boolean;
  /** Listens to the replies of a request for block status. @param is64 of its 64-bit form */
  readonly onExtents: (listener: ExtentListener, is64: boolean) => Listening;
  /** Listens to the names of a list. @param hasDescription whether the call tells descriptions */
  readonly onNames: (listener: NameListener, hasDescription: boolean) => Listening;
}

/** Each call: its result and its parameters after the handle, in koffi's notation. */
const CALLS = {
  nbd_set_export_name: ['int', 'str'],
  nbd_add_meta_context: ['int', 'str'],
  nbd_set_opt_mode: ['int', 'bool'],
  nbd_set_pread_initialize: ['int', 'bool'],
  nbd_set_tls: ['int', 'int'],
  nbd_set_tls_certificates: ['int', 'str'],
  nbd_set_tls_psk_file: ['int', 'str'],
  nbd_set_tls_username: ['int', 'str'],
  nbd_aio_connect_unix: ['int', 'str'],
  nbd_aio_connect_tcp: ['int', 'str', 'str'],
  nbd_aio_is_connecting: ['int'],
  nbd_aio_is_negotiating: ['int'],
  nbd_aio_is_ready: ['int'],
  nbd_aio_is_processing: ['int'],
  nbd_aio_get_fd: ['int'],
  nbd_aio_get_direction: ['uint'],
  nbd_aio_notify_read: ['int'],
  nbd_aio_notify_write: ['int'],
  nbd_poll: ['int', 'int'],
  nbd_aio_in_flight: ['int'],
  nbd_aio_disconnect: ['int', 'uint32'],
  nbd_aio_command_completed: ['int', 'uint64'],
  nbd_aio_pread: ['int64', 'void *', 'size_t', 'uint64', 'CALLBACK', 'uint32'],
  nbd_aio_pwrite: ['int64', 'void *', 'size_t', 'uint64', 'CALLBACK', 'uint32'],
  nbd_aio_zero: ['int64', 'uint64', 'uint64', 'CALLBACK', 'uint32'],
  nbd_aio_trim: ['int64', 'uint64', 'uint64', 'CALLBACK', 'uint32'],
  nbd_aio_flush: ['int64', 'CALLBACK', 'uint32'],
  nbd_aio_block_status: ['int64', 'uint64', 'uint64', 'CALLBACK', 'CALLBACK', 'uint32'],
  nbd_aio_block_status_64: ['int64', 'uint64', 'uint64', 'CALLBACK', 'CALLBACK', 'uint32'],
  nbd_get_size: ['int64'],
  nbd_get_block_size: ['int64', 'int'],
  nbd_can_meta_context: ['int', 'str'],
  nbd_can_multi_conn: ['int'],
  nbd_is_read_only: ['int'],
  nbd_can_flush: ['int'],
  nbd_can_fua: ['int'],
  nbd_can_zero: ['int'],
  nbd_can_fast_zero: ['int'],
  nbd_can_trim: ['int'],
  nbd_aio_opt_go: ['int', 'CALLBACK'],
  nbd_aio_opt_list: ['int', 'CALLBACK', 'CALLBACK'],
  nbd_aio_opt_list_meta_context: ['int', 'CALLBACK', 'CALLBACK'],
} as const satisfies Record<string, readonly [result: string, ...parameters: string[]]>;

export type CallName = keyof typeof CALLS;

let loaded: Libnbd | undefined;

/**
 * @returns libnbd; the first call of each thread loads it
 * @throws Qcow2cError ERR_UNSUPPORTED that names the package when it is not installed
 */
export function loadLibnbd(): Libnbd {
  loaded ??= findLibnbd();
  if (loaded !== undefined) return loaded;
  throw new Qcow2cError(
    'ERR_UNSUPPORTED',
    'NBD exports need the library libnbd: install libnbd0 (libnbd.so.0) and the package koffi',
  );
}

/** @returns libnbd, or undefined if it is not installed */
export function findLibnbd(): Libnbd | undefined {
  let koffi: Koffi;
  try {
    koffi = loadKoffi();
  } catch {
    return undefined;
  }
  for (const name of NAMES) {
    try {
      // Deep binding, as for the engines: Node.js exports functions of libraries that GnuTLS uses, too.
      const library = koffi.load(name, { deep: true });
      return bind(koffi, fileOfSymbol(koffi, library.symbol('nbd_create')) ?? name, library);
    } catch {
      // Missing, for another machine, or another library of that name: try the next.
    }
  }
  return undefined;
}

function bind(koffi: Koffi, file: string, library: ReturnType<Koffi['load']>): Libnbd {
  const callback = koffi.struct({ callback: 'void *', user: 'uintptr_t', free: 'void *' });
  const calls = new Map<CallName, Call | undefined>();
  const find = (name: CallName): Call | undefined => {
    if (!calls.has(name)) {
      const [result, ...parameters] = CALLS[name];
      const types = parameters.map((type) => (type === 'CALLBACK' ? callback : type));
      try {
        calls.set(name, library.func(name, result, ['void *', ...types]));
      } catch {
        calls.set(name, undefined);
      }
    }
    return calls.get(name);
  };
  const create = library.func('nbd_create', 'void *', []);
  const close = library.func('nbd_close', 'void', ['void *']);
  const words = library.func('nbd_get_error', 'str', []);
  const errno = library.func('nbd_get_errno', 'int', []);
  const version = library.func('nbd_get_version', 'str', ['void *']);
  const protocol = library.func('nbd_get_protocol', 'str', ['void *']);
  const extentProto = koffi.proto(
    'int (uintptr_t user, const char *context, uint64_t offset, uintptr_t entries, size_t count, void *error)',
  );
  const nameProto = koffi.proto('int (uintptr_t user, const char *name, const char *description)');
  const contextProto = koffi.proto('int (uintptr_t user, const char *name)');

  const extents = (is64: boolean) =>
    new Listeners<[string, Extents]>((listener) =>
      koffi.register((user: number, context: string, _: number, entries: number | bigint, count: number) => {
        listener(user, context, extentsAt(koffi, BigInt(entries), count, is64));
        return 0;
      }, koffi.pointer(extentProto)),
    );
  const [extents32, extents64] = [extents(false), extents(true)];
  const namesOf = (proto: typeof nameProto) =>
    new Listeners<[string, string]>((listener) =>
      koffi.register((user: number, name: string, description?: string) => {
        listener(user, name, description ?? '');
        return 0;
      }, koffi.pointer(proto)),
    );
  const [names, describedNames] = [namesOf(contextProto), namesOf(nameProto)];

  const own: HandleAddress = create();
  const found = String(version(own));
  close(own);
  return {
    file,
    version: found,
    create: () => create(),
    close: (handle) => void close(handle),
    error: () => ({ message: words() ?? '', errno: errno() }),
    protocol: (handle) => protocol(handle) ?? '',
    call: (name) => {
      const bound = find(name);
      if (bound === undefined) throw new Error(`libnbd ${found} lacks ${name}`);
      return bound;
    },
    has: (name) => find(name) !== undefined,
    onExtents: (listener, is64) => (is64 ? extents64 : extents32).add(listener),
    onNames: (listener, hasDescription) => (hasDescription ? describedNames : names).add(listener),
  };
}

/** Extents of one reply that are looked at. A server may send millions; the caller asks again for the rest of the range. */
const MOST_EXTENTS = 2 ** 20;

/** @param count of extents with 64 bits; with 32 bits, of numbers, two for each extent */
function extentsAt(koffi: Koffi, address: bigint, count: number, is64: boolean): Extents {
  if (is64) return new BigUint64Array(koffi.view(address, Math.min(count, MOST_EXTENTS) * 16));
  const numbers = Math.min(count - (count % 2), 2 * MOST_EXTENTS);
  return new Uint32Array(koffi.view(address, numbers * 4));
}
