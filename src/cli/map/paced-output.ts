/**
 * Writes text of any length to standard output in pieces, each written before the next one is made, so that memory does
 * not grow with the text. If the reader closes the pipe, as head(1) does, the output ends without an error.
 */
import { ioError } from '../../errors.js';
import type { StandardStream } from '../progress/progress-display.js';

/** Characters of one write. */
const PIECE_LENGTH = 65536;

export class PacedOutput {
  readonly #stdout: StandardStream;
  #text = '';
  #open = true;

  constructor(stdout: StandardStream) {
    this.#stdout = stdout;
  }

  /** Whether the reader is still there. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** @returns whether the gathered text must be flushed before more is added */
  add(text: string): boolean {
    this.#text += text;
    return this.#text.length >= PIECE_LENGTH;
  }

  /** Writes the gathered text. @throws Qcow2cError ERR_IO */
  async flush(): Promise<void> {
    const text = this.#text;
    this.#text = '';
    if (!this.#open || text === '') return;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#stdout.write(text, (error) => (error ? reject(error) : resolve()));
      });
    } catch (error) {
      this.#open = false;
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EPIPE') throw ioError('Could not write standard output', error);
    }
  }
}
