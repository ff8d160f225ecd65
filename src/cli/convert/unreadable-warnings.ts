/**
 * What a conversion says on standard error of sources that cannot be read: a line for each range that became zeros, in
 * the words of qemu-img, and the sum at the end; a line for each malformed payload whose bytes were all recovered. Used by the convert command.
 */
import type { UnreadableRange } from '../../convert/options.js';
import { quoted } from '../../errors.js';
import { warn } from '../aside.js';
import type { Output } from '../progress-display.js';

export class UnreadableWarnings {
  readonly #stderr: Output;
  #ranges = 0;
  #bytes = 0;

  constructor(stderr: Output) {
    this.#stderr = stderr;
  }

  add({ guestOffset, length, error, isKept }: UnreadableRange): void {
    if (isKept) {
      warn(this.#stderr, `${error.message}; all of its ${length} bytes were recovered`);
      return;
    }
    this.#ranges += 1;
    this.#bytes += length;
    warn(
      this.#stderr,
      `error while reading offset ${guestOffset}: ${error.message} (${length} bytes became zeros)`,
    );
  }

  /** @param target the name of the finished image */
  finish(target: string): void {
    if (this.#ranges === 0) return;
    const places = this.#ranges === 1 ? '1 place' : `${this.#ranges} places`;
    warn(
      this.#stderr,
      `${this.#bytes} bytes in ${places} of ${quoted(target)} could not be read and are zeros`,
    );
  }
}
