/** Loading shared libraries: the first that fits, by the names given, and never a crash. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { LIBDEFLATE_SYMBOL } from '../../src/engines/libdeflate.js';
import { LIBZSTD_SYMBOL } from '../../src/engines/libzstd.js';
import {
  koffiVersion,
  LIBDEFLATE_NAMES,
  LIBZSTD_NAMES,
  loadNativeLibrary,
} from '../../src/engines/native-library.js';

test.each([
  ['libdeflate', LIBDEFLATE_NAMES, LIBDEFLATE_SYMBOL],
  ['libzstd', LIBZSTD_NAMES, LIBZSTD_SYMBOL],
])('%s is found, and found again by its file', async (name, names, symbol) => {
  const library = await loadNativeLibrary(names, symbol);
  expect(library?.path).toMatch(new RegExp(`^/.*${name}`));
  expect((await loadNativeLibrary([library!.path], symbol))?.path).toBe(library!.path);
});

test('names that do not load are skipped', async () => {
  const library = await loadNativeLibrary(
    ['libnothing-of-this-name.so', '/etc/passwd', '/nowhere/libzstd.so.1', ...LIBZSTD_NAMES],
    LIBZSTD_SYMBOL,
  );
  expect(library?.path).toContain('libzstd');
});

test('a library without the required function is skipped', async () => {
  expect(await loadNativeLibrary(LIBDEFLATE_NAMES, LIBZSTD_SYMBOL)).toBeUndefined();
});

test('without a library the result is undefined', async () => {
  expect(await loadNativeLibrary([], LIBZSTD_SYMBOL)).toBeUndefined();
  expect(await loadNativeLibrary(['libnothing-of-this-name.so'], LIBZSTD_SYMBOL)).toBeUndefined();
});

/** Loads native-library.ts afresh with `koffi` in place of the package. */
async function withKoffi(koffi: () => object): Promise<typeof import('../../src/engines/native-library.js')> {
  vi.resetModules();
  vi.doMock('../../src/system/koffi.js', () => ({ loadKoffi: koffi, lacksDescriptor: () => false }));
  return import('../../src/engines/native-library.js');
}

afterEach(() => {
  vi.doUnmock('../../src/system/koffi.js');
  vi.resetModules();
});

describe('without koffi', () => {
  test.each([
    ['that is not installed', 'Cannot find package koffi'],
    [
      'that has no binary for this machine',
      'Cannot find the native Koffi module; did you bundle it correctly?',
    ],
  ])('%s is not used, and Node.js does the work', async (_, message) => {
    const native = await withKoffi(() => {
      throw new Error(message);
    });
    expect(await native.loadNativeLibrary(LIBDEFLATE_NAMES, LIBDEFLATE_SYMBOL)).toBeUndefined();
    expect(await native.koffiVersion()).toBeUndefined();
    const engines = await import('../../src/engines/engine-choice.js');
    expect((await engines.chooseCompressor({ type: 'zlib' })).engine).toBe('node');
    const { surveyCompression } = await import('../../src/engines/survey.js');
    const missing = { isal: undefined, libdeflate: undefined, libzstd: undefined };
    expect(await surveyCompression()).toMatchObject(missing);
  });

  test('with it, its version is known', async () => {
    expect(await koffiVersion()).toMatch(/^3\./);
  });
});

describe('if Node.js exports functions of the same names, as for zstd since 22.15', () => {
  /** koffi on a machine whose process exports `exported` and whose library has ZSTD_compress2 at 2n. */
  const machine = (exported: Readonly<Record<string, bigint>>) => ({
    load: vi.fn((name: string | null, _options?: { readonly deep?: boolean }) => ({
      symbol: (symbol: string) => {
        const address = name === null ? exported[symbol] : 2n;
        if (address === undefined) throw new Error(`Cannot find symbol '${symbol}'`);
        return address;
      },
    })),
  });
  const use = async (exported: Readonly<Record<string, bigint>>) => {
    const koffi = machine(exported);
    const native = await withKoffi(() => koffi);
    const library = await native.loadNativeLibrary(['libzstd.so.1'], LIBZSTD_SYMBOL);
    return { used: library !== undefined, options: koffi.load.mock.calls[0]![1] };
  };
  const original = process.platform;
  const on = (platform: NodeJS.Platform) => Object.defineProperty(process, 'platform', { value: platform });
  afterEach(() => on(original));

  test('the library is bound to its own functions first', async () => {
    on('linux');
    const glibc = { ZSTD_compress2: 1n, gnu_get_libc_version: 9n };
    expect(await use(glibc)).toEqual({ used: true, options: { deep: true } });
  });

  test('it is not used if the C library cannot bind deeply', async () => {
    on('linux');
    expect((await use({ ZSTD_compress2: 1n })).used).toBe(false);
  });

  test('it is used if the functions are the same, or not exported', async () => {
    on('linux');
    expect((await use({ ZSTD_compress2: 2n })).used).toBe(true);
    expect((await use({})).used).toBe(true);
    on('darwin');
    expect((await use({ ZSTD_compress2: 1n })).used).toBe(true);
  });
});
