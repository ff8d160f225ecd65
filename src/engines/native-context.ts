/** What a native library has made for an engine, and gets back. Used by the engines of libdeflate and libzstd. */
import { Qcow2cError } from '../errors.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

export class NativeContext {
  /** For the library's functions. */
  readonly pointer: unknown;
  readonly #take: NativeFunction;

  /**
   * @param takerName of the library's function that takes it back, a C function of one pointer
   * @param make asks the library for it; null is a refusal
   * @param refusal the message when it does
   * @throws Qcow2cError ERR_ENGINE when the library refuses (no memory)
   */
  constructor(library: NativeLibrary, takerName: string, make: () => unknown, refusal: string) {
    this.#take = library.func(takerName, 'void', ['void *']);
    this.pointer = make();
    if (this.pointer === null) throw new Qcow2cError('ERR_ENGINE', refusal);
  }

  free(): void {
    this.#take(this.pointer);
  }
}
