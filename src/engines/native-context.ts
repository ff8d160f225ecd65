/** An object of a native library that an engine uses and frees. Used by the engines of libdeflate and libzstd. */
import { Qcow2cError } from '../errors.js';
import type { NativeFunction, NativeLibrary } from './native-library.js';

export class NativeContext {
  /** For the library's functions. */
  readonly pointer: unknown;
  readonly #take: NativeFunction;

  /**
   * @param takerName name of the library's function that frees it, a C function of one pointer
   * @param make creates it with the library; null is a failure
   * @param refusal the message of that failure
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
