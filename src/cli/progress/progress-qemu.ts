/**
 * Progress as `qemu-img -p` prints it, for the scripts and panels that parse it: on standard output, even if it is not
 * a terminal. The rules are those of qemu_progress_print in QEMU's util/qemu-progress.c.
 */
import type { Progress } from '../../workers/progress.js';
import { type ProgressDisplay, type StandardStream, shareOf } from './progress-display.js';

export class QemuDisplay implements ProgressDisplay {
  readonly #stdout: StandardStream;
  /** Percent at the last line. */
  #shown = 0;

  constructor(stdout: StandardStream) {
    this.#stdout = stdout;
  }

  start(): void {
    this.#print(0);
  }

  /** A step of one percent or less is not shown, unless it is the last; nor is progress without a known whole. */
  update(progress: Progress): void {
    const share = shareOf(progress);
    if (share === undefined) return;
    const percent = 100 * share;
    if (percent <= this.#shown + 1 && percent !== 100) return;
    this.#shown = percent;
    this.#print(share);
  }

  /** As in qemu-img, a complete conversion prints 100 % once more; a failed one only ends its line. */
  end(success: boolean): void {
    if (success) this.#print(1);
    this.#stdout.write('\n');
  }

  #print(share: number): void {
    this.#stdout.write(`    (${qemuPercentage(share)}/100%)\r`);
  }
}

/** A share as a percentage with two decimals; a tie goes to the even digit, as in C's printf. */
export function qemuPercentage(share: number): string {
  const scaled = share * 10_000;
  let hundredths = Math.floor(scaled);
  const rest = scaled - hundredths;
  if (rest > 0.5 || (rest === 0.5 && hundredths % 2 === 1)) hundredths += 1;
  return (hundredths / 100).toFixed(2);
}
