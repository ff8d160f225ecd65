/** zstd frames of every kind, made by the system's libzstd. */
import { expect } from 'vitest';
import { LIBZSTD_SYMBOL } from '../../src/engines/libzstd.js';
import { LIBZSTD_NAMES, loadNativeLibrary } from '../../src/engines/native-library.js';

const library = (await loadNativeLibrary(LIBZSTD_NAMES, LIBZSTD_SYMBOL))!;
const createContext = library.func('ZSTD_createCCtx', 'void *', []);
const freeContext = library.func('ZSTD_freeCCtx', 'size_t', ['void *']);
const setParameter = library.func('ZSTD_CCtx_setParameter', 'intptr_t', ['void *', 'int', 'int']);
const compress = library.func('ZSTD_compress2', 'intptr_t', [
  'void *',
  'void *',
  'size_t',
  'const void *',
  'size_t',
]);

/** @param parameters numbers of ZSTD_cParameter with their values */
export function zstdFrame(cluster: Uint8Array, parameters: readonly (readonly [number, number])[]): Buffer {
  const context = createContext();
  for (const [parameter, value] of parameters) expect(setParameter(context, parameter, value)).toBe(value);
  const output = Buffer.alloc(cluster.length + 1024);
  const length = compress(context, output, output.length, cluster, cluster.length) as number;
  freeContext(context);
  return output.subarray(0, length);
}
