/**
 * Finds and loads a shared library of the system through koffi, on the main thread or in a worker, for the native
 * engines. All of it is optional: without koffi or the library the result is `undefined`.
 */
import { type Koffi, loadKoffi } from '../system/koffi.js';
import { fileOfSymbol } from '../system/loaded-file.js';

/** A C function: numbers and pointers as koffi takes them; byte arrays go by reference, never copied. */
export type NativeFunction = (...values: readonly unknown[]) => unknown;

export interface NativeLibrary {
  /** The name under which the loader found it. */
  readonly name: string;
  /** The loaded file if the system reports it, otherwise the requested name. */
  readonly path: string;
  /**
   * @param name symbol in the library
   * @param result C type of its result
   * @param parameters C types of its parameters
   * @throws Error if the library lacks the symbol
   */
  func(name: string, result: string, parameters: readonly string[]): NativeFunction;
  /** The same of the C library. */
  system(name: string, result: string, parameters: readonly string[]): NativeFunction;
  /** @returns the memory at an address, as long as it is mapped; not copied */
  view(address: bigint, length: number): ArrayBuffer;
}

/** Names of libdeflate for the loader: runtime, development, macOS, Homebrew outside the loader's path. */
export const LIBDEFLATE_NAMES: readonly string[] = [
  'libdeflate.so.0',
  'libdeflate.so',
  'libdeflate.0.dylib',
  '/opt/homebrew/lib/libdeflate.0.dylib',
  '/usr/local/lib/libdeflate.0.dylib',
];

/** The same for ISA-L. */
export const ISAL_NAMES: readonly string[] = [
  'libisal.so.2',
  'libisal.so',
  'libisal.2.dylib',
  '/opt/homebrew/lib/libisal.2.dylib',
  '/usr/local/lib/libisal.2.dylib',
];

/** The same for libzstd. */
export const LIBZSTD_NAMES: readonly string[] = [
  'libzstd.so.1',
  'libzstd.so',
  'libzstd.1.dylib',
  '/opt/homebrew/lib/libzstd.1.dylib',
  '/usr/local/lib/libzstd.1.dylib',
];

/** @returns koffi, or undefined if it is not installed or has no binary for this machine */
function findKoffi(): Koffi | undefined {
  try {
    return loadKoffi();
  } catch {
    return undefined;
  }
}

/** @returns koffi's version, or undefined without a koffi that works */
export async function koffiVersion(): Promise<string | undefined> {
  return findKoffi()?.version;
}

/**
 * @param names file names or paths, tried in this order
 * @param symbol a function that the library must have, so that another library of the same name is skipped
 * @param trial throws if the library must not be used
 * @returns the first usable library, or undefined
 */
export async function loadNativeLibrary(
  names: readonly string[],
  symbol: string,
  trial: (library: NativeLibrary) => void = () => {},
): Promise<NativeLibrary | undefined> {
  const koffi = findKoffi();
  if (koffi === undefined) return undefined;
  let system: NativeLibrary['func'] | undefined;
  for (const name of names) {
    try {
      // Deep binding: the library's calls to its own functions must not reach functions of the same name in Node.js.
      const loaded = koffi.load(name, { deep: true });
      const address: unknown = loaded.symbol(symbol);
      if (isShadowed(koffi, symbol, address)) continue;
      const library: NativeLibrary = {
        name,
        path: fileOfSymbol(koffi, address) ?? name,
        func: binder(loaded),
        system: (...signature) => {
          system ??= binder(koffi.load(null));
          return system(...signature);
        },
        view: (from, length) => koffi.view(from, length),
      };
      trial(library);
      return library;
    } catch {
      // Missing, for another machine, another library of that name, or its trial failed: try the next.
    }
  }
  return undefined;
}

/** Binds each function once: koffi keeps bindings for the life of the thread. */
function binder(library: ReturnType<Koffi['load']>): NativeLibrary['func'] {
  const functions = new Map<string, NativeFunction>();
  return (name, result, parameters) => {
    const signature = [name, result, ...parameters].join();
    const bound = functions.get(signature) ?? library.func(name, result, [...parameters]);
    functions.set(signature, bound);
    return bound;
  };
}

/**
 * Whether calls inside the library would reach functions of Node.js instead. Since 22.15 Node.js exports its own zstd,
 * of another version, and mixing the two crashes. Deep binding prevents that if the C library supports it (glibc);
 * macOS always binds a library to its own functions.
 */
function isShadowed(koffi: Koffi, symbol: string, address: unknown): boolean {
  const exported = exportedByProcess(koffi, symbol);
  if (exported === undefined || exported === address || process.platform === 'darwin') return false;
  return exportedByProcess(koffi, 'gnu_get_libc_version') === undefined;
}

/** @returns the address of a function visible to every library of this process, or undefined */
function exportedByProcess(koffi: Koffi, symbol: string): unknown {
  try {
    return koffi.load(null).symbol(symbol);
  } catch {
    return undefined;
  }
}
