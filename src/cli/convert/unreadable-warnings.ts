/**
 * The warnings of a conversion about unreadable sources: a line for each range that became zeros, in the words of
 * qemu-img, and one for each malformed payload whose bytes were all recovered. A damaged image can have billions: the
 * first hundred are printed, all are counted. Used by the convert command.
 */

import { quoted } from '../../errors.js';
import type { UnreadableRange } from '../../workers/unreadable-range.js';
import { warn } from '../progress/notice.js';
import type { StandardStream } from '../progress/progress-display.js';

/** Maximum number of lines; further ranges are only counted. */
const MOST_LINES = 100;

export class UnreadableWarnings {
  readonly #stderr: StandardStream;
  #ranges = 0;
  #bytes = 0;
  /** Malformed payloads whose bytes were all recovered. */
  #recovered = 0;
  #lines = 0;

  constructor(stderr: StandardStream) {
    this.#stderr = stderr;
  }

  add({ guestOffset, length, error, isKept }: UnreadableRange): void {
    if (isKept) {
      this.#recovered += 1;
      this.#print(`${error.message}; all of its ${length} bytes were recovered`);
      return;
    }
    this.#ranges += 1;
    this.#bytes += length;
    this.#print(
      `error while reading offset ${guestOffset}: ${error.message} (${length} bytes replaced with zeros)`,
    );
  }

  #print(message: string): void {
    this.#lines += 1;
    if (this.#lines <= MOST_LINES) warn(this.#stderr, message);
    if (this.#lines === MOST_LINES + 1)
      warn(this.#stderr, 'further warnings are only counted; the total follows');
  }

  /** @param target the name of the finished image */
  finish(target: string): void {
    if (this.#lines > MOST_LINES && this.#recovered > 0) {
      warn(this.#stderr, `${this.#recovered} malformed clusters were recovered completely`);
    }
    if (this.#ranges === 0) return;
    const places = this.#ranges === 1 ? '1 place' : `${this.#ranges} places`;
    warn(
      this.#stderr,
      `${this.#bytes} bytes in ${places} of ${quoted(target)} could not be read and were replaced with zeros`,
    );
  }
}
