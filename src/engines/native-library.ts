/**
 * Finds and loads a shared library of the system through koffi, on the main thread or in a worker, for the
 * native engines. Nothing here is needed to run: without koffi or the library the answer is `undefined`.
 */

/** A C function: numbers and pointers as koffi takes them; byte arrays go by reference, never copied. */
export type NativeFunction = (...values: readonly unknown[]) => unknown;

export interface NativeLibrary {
  /** The name by which the loader found it. */
  readonly name: string;
  /** The file that was loaded, as far as the system tells; else the name that was asked for. */
  readonly path: string;
  /**
   * @param name symbol in the library
   * @param result C type of what it returns
   * @param parameters C types of its parameters
   * @throws Error when the library has no such symbol
   */
  func(name: string, result: string, parameters: readonly string[]): NativeFunction;
  /** The same of the C library. */
  system(name: string, result: string, parameters: readonly string[]): NativeFunction;
  /** @returns the memory at an address, as long as it is mapped; not copied */
  view(address: bigint, length: number): ArrayBuffer;
}

/** What the loader is asked for: libdeflate's runtime, development, macOS, Homebrew outside the loader's path. */
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

type Koffi = typeof import('koffi');

/** @returns koffi, or undefined where it is not installed or has no binary for this machine */
async function importKoffi(): Promise<Koffi | undefined> {
  try {
    return await import('koffi');
  } catch {
    return undefined;
  }
}

/** @returns koffi's version, or undefined without a koffi that works */
export async function koffiVersion(): Promise<string | undefined> {
  return (await importKoffi())?.version;
}

/**
 * @param names file names or paths, tried in this order
 * @param symbol a function that the library must have, so that a namesake is passed over
 * @param trial throws when the library is not to be used after all
 * @returns the first that can be used, or undefined
 */
export async function loadNativeLibrary(
  names: readonly string[],
  symbol: string,
  trial: (library: NativeLibrary) => void = () => {},
): Promise<NativeLibrary | undefined> {
  const koffi = await importKoffi();
  if (koffi === undefined) return undefined;
  let system: NativeLibrary['func'] | undefined;
  for (const name of names) {
    try {
      // Deep: the library's calls to its own functions must not end in namesakes that Node.js exports.
      const loaded = koffi.load(name, { deep: true });
      const address: unknown = loaded.symbol(symbol);
      if (isShadowed(koffi, symbol, address)) continue;
      const library: NativeLibrary = {
        name,
        path: fileOf(koffi, address) ?? name,
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
      // Not under this name, not for this machine, something else of that name, or it failed its trial: the next.
    }
  }
  return undefined;
}

/** Binds each function once: koffi keeps what is bound as long as the thread lives. */
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
 * Whether calls inside the library would end in functions of Node.js instead: since 22.15 it exports all of
 * its own zstd, of another version, and mixing the two crashes. Binding deeply prevents that where the C
 * library knows it (glibc); macOS binds each library to its own functions anyhow.
 */
function isShadowed(koffi: Koffi, symbol: string, address: unknown): boolean {
  const exported = exportedByProcess(koffi, symbol);
  if (exported === undefined || exported === address || process.platform === 'darwin') return false;
  return exportedByProcess(koffi, 'gnu_get_libc_version') === undefined;
}

/** @returns the address of a function that every library of this process sees, or undefined */
function exportedByProcess(koffi: Koffi, symbol: string): unknown {
  try {
    return koffi.load(null).symbol(symbol);
  } catch {
    return undefined;
  }
}

/** Of Dl_info: four pointers. */
const DL_INFO_BYTES = 4 * 8;

/** The file that an address was loaded from: dladdr(3), which glibc, musl and macOS have. */
function fileOf(koffi: Koffi, address: unknown): string | undefined {
  try {
    const dladdr = koffi.load(null).func('dladdr', 'int', ['void *', 'void *']);
    const info = new Uint8Array(DL_INFO_BYTES);
    // The name comes first. No struct is declared for koffi, which would keep each as long as the thread lives.
    return dladdr(address, info) === 0 ? undefined : (koffi.decode(info, 'const char *') ?? undefined);
  } catch {
    return undefined;
  }
}
