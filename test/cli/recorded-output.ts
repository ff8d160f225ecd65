/** An output that remembers what was written to it, as a terminal or not. */
import { Writable } from 'node:stream';

export class RecordedOutput extends Writable {
  text = '';
  readonly isTTY: boolean;
  columns: number;

  /** @param columns the width of the terminal; undefined when it is none */
  constructor(columns?: number) {
    super({ decodeStrings: false });
    this.isTTY = columns !== undefined;
    this.columns = columns ?? 0;
  }

  override _write(text: string, _encoding: string, done: () => void): void {
    this.text += text;
    done();
  }
}
