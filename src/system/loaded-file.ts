/** Finds the file from which a shared library was loaded. */
import type { Koffi } from './koffi.js';

/** Size of Dl_info: four pointers. */
const DL_INFO_BYTES = 4 * 8;

/** @returns the file from which the code at an address was loaded (dladdr(3) of glibc, musl and macOS), if known */
export function fileOfSymbol(koffi: Koffi, address: unknown): string | undefined {
  try {
    const dladdr = koffi.load(null).func('dladdr', 'int', ['void *', 'void *']);
    const info = new Uint8Array(DL_INFO_BYTES);
    // The name comes first. No struct is declared for koffi, because koffi would keep it for the life of the thread.
    return dladdr(address, info) === 0 ? undefined : (koffi.decode(info, 'const char *') ?? undefined);
  } catch {
    return undefined;
  }
}
