/**
 * Text of any length to standard output: gathered into pieces, each written before the next one is made, so that
 * memory does not grow with it. A reader that has seen enough, such as head(1), ends it and is no error.
 */
import { ioError } from '../../errors.js';
import type { StandardStream } from '../progress/progress-display.js';

/** Characters that are written at once. */
const PIECE_LENGTH = 65536;

export class PacedOutput {
  readonly #stdout: StandardStream;
  #text = '';
  #open = true;

  constructor(stdout: StandardStream) {
    this.#stdout = stdout;
  }

  /** Whether anybody still wants to read. */
  get isOpen(): boolean {
    return this.#open;
  }

  /** @returns whether so much has been gathered that it has to be flushed before more comes */
  add(text: string): boolean {
    this.#text += text;
    return this.#text.length >= PIECE_LENGTH;
  }

  /** Writes what is gathered. @throws Qcow2cError ERR_IO */
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
