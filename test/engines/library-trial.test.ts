/** The trial accepts the real libraries, and refuses them with one function missing or wrong. */
import { describe, expect, test } from 'vitest';
import { ISAL_SYMBOL } from '../../src/engines/isal.js';
import { LIBDEFLATE_SYMBOL } from '../../src/engines/libdeflate.js';
import { tryIsal, tryLibdeflate, tryLibzstd } from '../../src/engines/library-trial.js';
import { LIBZSTD_SYMBOL } from '../../src/engines/libzstd.js';
import {
  ISAL_NAMES,
  LIBDEFLATE_NAMES,
  LIBZSTD_NAMES,
  loadNativeLibrary,
  type NativeFunction,
  type NativeLibrary,
} from '../../src/engines/native-library.js';

/** The same library, but each call of one function goes through `lie`, which has the real one. */
function lying(
  genuine: NativeLibrary,
  symbol: string,
  lie: (real: NativeFunction, values: readonly unknown[]) => unknown,
): NativeLibrary {
  return {
    ...genuine,
    func: (name, result, parameters) => {
      const real = genuine.func(name, result, parameters);
      return name === symbol ? (...values) => lie(real, values) : real;
    },
  };
}

function without(genuine: NativeLibrary, symbol: string): NativeLibrary {
  return {
    ...genuine,
    func: (name, result, parameters) => {
      if (name === symbol) throw new Error(`Cannot find function '${name}'`);
      return genuine.func(name, result, parameters);
    },
  };
}

const OUTPUT_OF: Readonly<Record<string, number>> = {
  libdeflate_deflate_compress: 3,
  libdeflate_deflate_decompress_ex: 3,
  ZSTD_compress2: 1,
  ZSTD_decompressDCtx: 1,
  ZSTD_decompressStream_simpleArgs: 1,
};

describe.each([
  ['libdeflate', LIBDEFLATE_NAMES, LIBDEFLATE_SYMBOL, tryLibdeflate],
  ['libzstd', LIBZSTD_NAMES, LIBZSTD_SYMBOL, tryLibzstd],
] as const)('%s', (name, names, symbol, trial) => {
  const functions = Object.keys(OUTPUT_OF).filter((function_) =>
    function_.startsWith(name === 'libzstd' ? 'ZSTD' : name),
  );

  test('the library of this machine passes', async () => {
    trial((await loadNativeLibrary(names, symbol))!);
  });

  test.each(functions)('a library without %s fails', async (function_) => {
    const library = (await loadNativeLibrary(names, symbol))!;
    expect(() => trial(without(library, function_))).toThrow(function_);
  });

  test.each(functions)('a library whose %s flips one bit fails', async (function_) => {
    const library = (await loadNativeLibrary(names, symbol))!;
    const turned = lying(library, function_, (real, values) => {
      const result = real(...values);
      const output = values[OUTPUT_OF[function_]!] as Uint8Array;
      output[output.length >> 6] = output[output.length >> 6]! ^ 1;
      return result;
    });
    expect(() => trial(turned)).toThrow();
  });

  test('a library that fails its trial is skipped', async () => {
    const refused: string[] = [];
    const library = await loadNativeLibrary([...names, ...names], symbol, ({ name: asked }) => {
      refused.push(asked);
      if (refused.length === 1) throw new Error('not this one');
    });
    expect(library).toBeDefined();
    expect(refused).toHaveLength(2);
  });
});

describe('isal', () => {
  test('the library of this machine passes', async () => {
    tryIsal((await loadNativeLibrary(ISAL_NAMES, ISAL_SYMBOL))!);
  });

  test.each([ISAL_SYMBOL, 'isal_deflate_stateless_init'])('a library without %s fails', async (function_) => {
    const library = (await loadNativeLibrary(ISAL_NAMES, ISAL_SYMBOL))!;
    expect(() => tryIsal(without(library, function_))).toThrow(function_);
  });

  test('a library that compresses another input fails', async () => {
    const library = (await loadNativeLibrary(ISAL_NAMES, ISAL_SYMBOL))!;
    const turned = lying(library, ISAL_SYMBOL, (real, [stream]) => {
      const fields = new DataView(library.view(stream as bigint, 64));
      fields.setUint32(8, fields.getUint32(8, true) - 1, true);
      return real(stream);
    });
    expect(() => tryIsal(turned)).toThrow();
  });
});
